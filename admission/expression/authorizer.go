package expression

import (
	"context"
	"fmt"

	"github.com/google/cel-go/common/types/ref"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/cel/library"

	"proa/auth"
)

// Asker answers questions of expressions about what users may do.
type Asker struct {
	authorizer auth.Authorizer
	user       *auth.User
}

// NewAsker asks about the user of a request, or about service accounts that an
// expression names.
func NewAsker(a auth.Authorizer, u *auth.User) *Asker { return &Asker{a, u} }

// Requested is the resource of a request.
type Requested struct {
	Resource                     schema.GroupVersionResource
	Subresource, Namespace, Name string
}

// GetResource implements library.Resource.
func (r Requested) GetResource() schema.GroupVersionResource { return r.Resource }

// GetSubresource implements library.Resource.
func (r Requested) GetSubresource() string { return r.Subresource }

// GetNamespace implements library.Resource.
func (r Requested) GetNamespace() string { return r.Namespace }

// GetName implements library.Resource.
func (r Requested) GetName() string { return r.Name }

// Values are the variables authorizer and authorizer.requestResource.
func (k *Asker) Values(r Requested) (authorizer, requestResource ref.Val) {
	u := &user.DefaultInfo{}
	if k.user != nil {
		u = &user.DefaultInfo{Name: k.user.Name, UID: k.user.UID, Groups: k.user.Groups, Extra: k.user.Extra}
	}
	return library.NewAuthorizerVal(u, k), library.NewResourceAuthorizerVal(u, k, r)
}

// Authorize implements authorizer.Authorizer.
func (k *Asker) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	if k.authorizer == nil {
		return authorizer.DecisionNoOpinion, "", nil
	}
	q := &auth.Attributes{
		Verb: a.GetVerb(), Path: a.GetPath(), IsResource: a.IsResourceRequest(), Group: a.GetAPIGroup(), Version: a.GetAPIVersion(),
		Resource: a.GetResource(), Subresource: a.GetSubresource(), Namespace: a.GetNamespace(), Name: a.GetName(),
	}
	if u := a.GetUser(); u != nil {
		q.User = &auth.User{Name: u.GetName(), UID: u.GetUID(), Groups: u.GetGroups(), Extra: u.GetExtra()}
	}
	// A selector that cannot be parsed is left out, so that more is asked for.
	if f, err := a.GetFieldSelector(); err == nil {
		q.Fields = f
	}
	if l, err := a.GetLabelSelector(); err == nil {
		q.Labels = l
	}
	d, reason, err := k.authorizer.Authorize(ctx, q)
	switch d {
	case auth.Allow:
		return authorizer.DecisionAllow, reason, err
	case auth.Deny:
		return authorizer.DecisionDeny, reason, err
	}
	return authorizer.DecisionNoOpinion, reason, err
}

// Remember answers a question that was asked before as it was answered then. It
// is for one request, and one goroutine.
func Remember(a auth.Authorizer) auth.Authorizer {
	if a == nil {
		return nil
	}
	type answer struct {
		d      auth.Decision
		reason string
		err    error
	}
	known := map[string]answer{}
	return auth.AuthorizerFunc(func(ctx context.Context, q *auth.Attributes) (auth.Decision, string, error) {
		key := fmt.Sprintf("%q %q %q %t %q %q %q %q %q %q %v %v", q.User.Name, q.Verb, q.Path, q.IsResource, q.Group, q.Version, q.Resource, q.Subresource, q.Namespace, q.Name, q.Fields, q.Labels)
		if k, ok := known[key]; ok {
			return k.d, k.reason, k.err
		}
		d, reason, err := a.Authorize(ctx, q)
		known[key] = answer{d, reason, err}
		return d, reason, err
	})
}
