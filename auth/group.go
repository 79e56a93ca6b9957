package auth

import "slices"

// Authenticated adds the group of all authenticated users to u, unless u is
// anonymous or has it. It returns u where nothing is to add, and a changed
// copy otherwise.
func Authenticated(u *User) *User {
	if u == nil || u.Name == Anonymous || u.InGroup(GroupAuthenticated) || u.InGroup(GroupUnauthenticated) {
		return u
	}
	c := *u
	c.Groups = append(slices.Clone(u.Groups), GroupAuthenticated)
	return &c
}
