package expression

import (
	"context"

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
