// Package masters lets the group system:masters do everything, whatever state
// the stored policy is in. It is the operator's way in.
package masters

import (
	"context"

	"proa/auth"
)

// Authorize is an [auth.AuthorizerFunc] that allows members of system:masters
// everything and has no opinion of anybody else.
func Authorize(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
	if a.User != nil && a.User.InGroup(auth.GroupMasters) {
		return auth.Allow, "", nil
	}
	return auth.NoOpinion, "", nil
}
