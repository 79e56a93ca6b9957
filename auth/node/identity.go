package node

import (
	"strings"

	"proa/auth"
)

// Identity tells whether a user is a node agent, and of which node. The name
// is empty where the user is in the group of nodes and named otherwise.
func Identity(u *auth.User) (name string, isNode bool) {
	if u == nil || !strings.HasPrefix(u.Name, auth.NodePrefix) || !u.InGroup(auth.GroupNodes) {
		return "", false
	}
	return u.Name[len(auth.NodePrefix):], true
}
