package subresource

import (
	"context"
	"fmt"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation/field"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/connect"
	"proa/auth"
)

// Rules lists what a user may do in a namespace.
type Rules interface {
	RulesFor(u *auth.User, namespace string) ([]rbacv1.PolicyRule, error)
}

// Reviews answers the reviews of both groups: who is this, and who may do
// what. tokens and rules may be nil; then token reviews know nobody, and rules
// reviews are incomplete.
func Reviews(tokens auth.TokenAuthenticator, authorizer auth.Authorizer, rules Rules) connect.Registry {
	r := reviews{tokens, authorizer, rules}
	const authn, authz = authenticationv1.GroupName, authorizationv1.GroupName
	return connect.Registry{
		{Group: authn, Resource: "tokenreviews"}:              {Answer: r.token},
		{Group: authn, Resource: "selfsubjectreviews"}:        {Answer: r.self},
		{Group: authz, Resource: "subjectaccessreviews"}:      {Answer: r.subject},
		{Group: authz, Resource: "localsubjectaccessreviews"}: {Answer: r.local},
		{Group: authz, Resource: "selfsubjectaccessreviews"}:  {Answer: r.selfAccess},
		{Group: authz, Resource: "selfsubjectrulesreviews"}:   {Answer: r.rules},
	}
}

type reviews struct {
	tokens     auth.TokenAuthenticator
	authorizer auth.Authorizer
	rulesOf    Rules
}

func (r reviews) token(ctx context.Context, in *connect.Input) (runtime.Object, error) {
	t := in.Object.(*authenticationv1.TokenReview)
	if t.Spec.Token == "" {
		return nil, apierrors.NewBadRequest("token is required for TokenReview in authentication")
	}
	token := t.Spec.Token
	if r.tokens == nil {
		return t, nil
	}
	user, audiences, err := r.tokens.AuthenticateToken(ctx, token, t.Spec.Audiences)
	t.Status = authenticationv1.TokenReviewStatus{}
	if err != nil {
		t.Status.Error = strings.ReplaceAll(err.Error(), token, "<token>")
		return t, nil
	}
	if user == nil {
		return t, nil
	}
	t.Status.Authenticated = true
	t.Status.User = userInfo(user)
	t.Status.Audiences = audiences
	return t, nil
}

func userInfo(u *auth.User) authenticationv1.UserInfo {
	info := authenticationv1.UserInfo{Username: u.Name, UID: u.UID, Groups: u.Groups}
	for k, v := range u.Extra {
		if info.Extra == nil {
			info.Extra = map[string]authenticationv1.ExtraValue{}
		}
		info.Extra[k] = v
	}
	return info
}

func (r reviews) self(_ context.Context, in *connect.Input) (runtime.Object, error) {
	s := in.Object.(*authenticationv1.SelfSubjectReview)
	s.CreationTimestamp = in.Now.Rfc3339Copy()
	s.Status.UserInfo = userInfo(in.User)
	return s, nil
}

func (r reviews) subject(ctx context.Context, in *connect.Input) (runtime.Object, error) {
	s := in.Object.(*authorizationv1.SubjectAccessReview)
	st, err := r.ask(ctx, subjectOf(&s.Spec), s.Spec.ResourceAttributes, s.Spec.NonResourceAttributes)
	s.Status = st
	return s, err
}

func (r reviews) local(ctx context.Context, in *connect.Input) (runtime.Object, error) {
	s := in.Object.(*authorizationv1.LocalSubjectAccessReview)
	if a := s.Spec.ResourceAttributes; a == nil || a.Namespace != in.Namespace {
		ns := ""
		if a != nil {
			ns = a.Namespace
		}
		return nil, apierrors.NewBadRequest(fmt.Sprintf("spec.resourceAttributes.namespace must match namespace: %s != %s", ns, in.Namespace))
	}
	st, err := r.ask(ctx, subjectOf(&s.Spec), s.Spec.ResourceAttributes, nil)
	s.Status = st
	return s, err
}

func (r reviews) selfAccess(ctx context.Context, in *connect.Input) (runtime.Object, error) {
	s := in.Object.(*authorizationv1.SelfSubjectAccessReview)
	st, err := r.ask(ctx, in.User, s.Spec.ResourceAttributes, s.Spec.NonResourceAttributes)
	s.Status = st
	return s, err
}

func subjectOf(s *authorizationv1.SubjectAccessReviewSpec) *auth.User {
	u := &auth.User{Name: s.User, UID: s.UID, Groups: s.Groups}
	for k, v := range s.Extra {
		if u.Extra == nil {
			u.Extra = map[string][]string{}
		}
		u.Extra[strings.ToLower(k)] = v
	}
	return u
}

// ask puts the question of a review to the authorizer.
func (r reviews) ask(ctx context.Context, u *auth.User, res *authorizationv1.ResourceAttributes, path *authorizationv1.NonResourceAttributes) (authorizationv1.SubjectAccessReviewStatus, error) {
	a := &auth.Attributes{User: u}
	var problems []string
	switch {
	case res != nil:
		a.IsResource = true
		a.Verb, a.Group, a.Version, a.Resource = res.Verb, res.Group, res.Version, res.Resource
		a.Subresource, a.Namespace, a.Name = res.Subresource, res.Namespace, res.Name
		if res.LabelSelector != nil {
			var err error
			if a.Labels, err = labelRequirements(res.LabelSelector); err != nil {
				problems = append(problems, err.Error())
			}
		}
		if res.FieldSelector != nil {
			var err error
			if a.Fields, err = fieldRequirements(res.FieldSelector); err != nil {
				problems = append(problems, err.Error())
			}
		}
	case path != nil:
		a.Verb, a.Path = path.Verb, path.Path
	}
	if r.authorizer == nil {
		return authorizationv1.SubjectAccessReviewStatus{Allowed: true}, nil
	}
	d, reason, err := r.authorizer.Authorize(ctx, a)
	st := authorizationv1.SubjectAccessReviewStatus{Allowed: d == auth.Allow, Denied: d == auth.Deny, Reason: reason}
	if err != nil {
		problems = append(problems, err.Error())
	}
	st.EvaluationError = strings.Join(problems, ", ")
	return st, nil
}

func labelRequirements(s *authorizationv1.LabelSelectorAttributes) (labels.Requirements, error) {
	if s.RawSelector != "" {
		sel, err := labels.Parse(s.RawSelector)
		if err != nil {
			return nil, err
		}
		reqs, _ := sel.Requirements()
		return reqs, nil
	}
	sel, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: s.Requirements})
	if err != nil {
		return nil, err
	}
	reqs, _ := sel.Requirements()
	return reqs, nil
}

func fieldRequirements(s *authorizationv1.FieldSelectorAttributes) (fields.Requirements, error) {
	if s.RawSelector != "" {
		sel, err := fields.ParseSelector(s.RawSelector)
		if err != nil {
			return nil, err
		}
		return sel.Requirements(), nil
	}
	var out fields.Requirements
	for i, r := range s.Requirements {
		if len(r.Values) != 1 {
			return out, field.Invalid(field.NewPath("requirements").Index(i).Child("values"), r.Values, "only exactly one value is understood")
		}
		op := selection.Equals
		switch r.Operator {
		case metav1.FieldSelectorOpIn:
		case metav1.FieldSelectorOpNotIn:
			op = selection.NotEquals
		default:
			return out, fmt.Errorf("operator %q of a field selector is not understood", r.Operator)
		}
		out = append(out, fields.Requirement{Field: r.Key, Operator: op, Value: r.Values[0]})
	}
	return out, nil
}

func (r reviews) rules(_ context.Context, in *connect.Input) (runtime.Object, error) {
	s := in.Object.(*authorizationv1.SelfSubjectRulesReview)
	if s.Spec.Namespace == "" {
		return nil, apierrors.NewBadRequest("no namespace on request")
	}
	s.Status = authorizationv1.SubjectRulesReviewStatus{ResourceRules: []authorizationv1.ResourceRule{}, NonResourceRules: []authorizationv1.NonResourceRule{}}
	if r.rulesOf == nil {
		s.Status.Incomplete = true
		return s, nil
	}
	all, err := r.rulesOf.RulesFor(in.User, s.Spec.Namespace)
	if err != nil {
		s.Status.Incomplete, s.Status.EvaluationError = true, err.Error()
	}
	for _, rule := range all {
		if len(rule.Resources) > 0 {
			s.Status.ResourceRules = append(s.Status.ResourceRules, authorizationv1.ResourceRule{
				Verbs: rule.Verbs, APIGroups: rule.APIGroups, Resources: rule.Resources, ResourceNames: rule.ResourceNames,
			})
		}
		if len(rule.NonResourceURLs) > 0 {
			s.Status.NonResourceRules = append(s.Status.NonResourceRules, authorizationv1.NonResourceRule{
				Verbs: rule.Verbs, NonResourceURLs: rule.NonResourceURLs,
			})
		}
	}
	return s, nil
}
