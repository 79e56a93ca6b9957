package policy

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	arv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/admission"
	"proa/admission/derived"
	"proa/admission/expression"
	"proa/admission/match"
	"proa/apiserver/managed"
	"proa/auth"
	"proa/cache"
	"proa/resource"
)

// Config is what the plugins work with.
type Config struct {
	// Table and Hub find parameters, of whatever kind.
	Table      *resource.Table
	Hub        *cache.Hub
	Namespaces match.Namespaces
	// Authorizer answers the questions of expressions.
	Authorizer auth.Authorizer
	// Managed knows how configurations are merged.
	Managed *managed.Tracker
	Log     *slog.Logger
}

// binding puts a policy into effect. It is immutable.
type binding struct {
	name, policy string
	// criteria are nil where the policy's own are enough.
	criteria *match.Criteria
	params   *arv1.ParamRef
	// actions on a violation, of a validating policy.
	actions []arv1.ValidationAction
}

func newBinding(name, policy string, m *arv1.MatchResources, params *arv1.ParamRef, actions []arv1.ValidationAction) *binding {
	b := &binding{name: name, policy: policy, params: params, actions: actions}
	if m != nil {
		b.criteria = match.OfPolicy(m)
	}
	return b
}

// head is what the two kinds of policies have in common. It is immutable.
type head struct {
	name       string
	criteria   *match.Criteria // nil without constraints
	paramKind  *arv1.ParamKind
	failOpen   bool
	compiler   *expression.Compiler
	conditions expression.Conditions
}

var errUnconstrained = fmt.Errorf("policy contained no match constraints, a required field")

func newHead(name string, m *arv1.MatchResources, k *arv1.ParamKind, fail *arv1.FailurePolicyType, variables []arv1.Variable, conditions []arv1.MatchCondition) head {
	h := head{name: name, paramKind: k, failOpen: fail != nil && *fail == arv1.Ignore, compiler: expression.Plain()}
	if len(variables) > 0 {
		// A compiler of one's own takes a hundred kilobytes.
		h.compiler = expression.NewCompiler()
	}
	if m != nil {
		h.criteria = match.OfPolicy(m)
	}
	sees := h.sees()
	for _, v := range variables {
		h.compiler.Declare(v.Name, v.Expression, sees, expression.Stored)
	}
	h.conditions = h.compiler.CompileConditions(conditions, sees)
	return h
}

func (h *head) sees() expression.Sees {
	return expression.Sees{Params: h.paramKind != nil, Authorizer: true}
}

// effective is a policy with its bindings. Policies without any are left out.
type effective[P any] struct {
	policy   P
	bindings []*binding
}

// joined puts policies and bindings together, anew when either has changed.
type joined[P any] struct {
	policies interface {
		None() bool
		All(context.Context) ([]P, int64, error)
	}
	bindings interface {
		None() bool
		All(context.Context) ([]*binding, int64, error)
	}
	name  func(P) string
	state atomic.Pointer[joint[P]]
}

type joint[P any] struct {
	policies, bindings int64
	list               []effective[P]
}

func newJoined[T, B resource.Object, P any](hub *cache.Hub, view *resource.View, policies, bindings string, ofPolicy func(T) P, ofBinding func(B) *binding, name func(P) string) *joined[P] {
	return &joined[P]{
		policies: derived.New(hub, definition(view, policies), ofPolicy),
		bindings: derived.New(hub, definition(view, bindings), ofBinding),
		name:     name,
	}
}

func definition(view *resource.View, plural string) *resource.Definition {
	m, _ := view.Resource(arv1.SchemeGroupVersion.WithResource(plural))
	return m.Definition
}

func (j *joined[P]) none() bool { return j.policies.None() || j.bindings.None() }

func (j *joined[P]) all(ctx context.Context) ([]effective[P], error) {
	policies, p, err := j.policies.All(ctx)
	if err != nil {
		return nil, err
	}
	bindings, b, err := j.bindings.All(ctx)
	if err != nil {
		return nil, err
	}
	if s := j.state.Load(); s != nil && s.policies == p && s.bindings == b {
		return s.list, nil
	}
	of := map[string][]*binding{}
	for _, b := range bindings {
		of[b.policy] = append(of[b.policy], b)
	}
	s := &joint[P]{policies: p, bindings: b}
	for _, policy := range policies {
		if mine := of[j.name(policy)]; len(mine) > 0 {
			s.list = append(s.list, effective[P]{policy, mine})
		}
	}
	j.state.Store(s)
	return s.list, nil
}

// notReady refuses what cannot be decided.
func notReady(a *admission.Attributes, err error) error {
	return admission.Forbidden(a, fmt.Errorf("not yet ready to handle request: %w", err))
}

// meeting is one write in front of policies.
type meeting struct {
	*Config
	ctx   context.Context
	a     *admission.Attributes
	views map[*resource.Served]*admission.View
	asker *expression.Asker
	// namespace is that of the object as an expression sees it, once it is known.
	namespace  map[string]any
	namespaced bool
}

func (c *Config) meet(ctx context.Context, a *admission.Attributes) *meeting {
	return &meeting{Config: c, ctx: ctx, a: a, views: map[*resource.Served]*admission.View{}, asker: expression.NewAsker(expression.Remember(c.Authorizer), a.User)}
}

func (m *meeting) view(s *resource.Served) (*admission.View, error) {
	if v := m.views[s]; v != nil {
		return v, nil
	}
	v, err := m.a.In(s)
	if err == nil {
		m.views[s] = v
	}
	return v, err
}

// changed forgets what the object looked like.
func (m *meeting) changed() { clear(m.views) }

// findNamespace reads the namespace of the object. Namespaces lie in none.
func (m *meeting) findNamespace() error {
	k := m.a.RequestKind()
	if m.namespaced || m.a.Namespace == "" || k == corev1.SchemeGroupVersion.WithKind("Namespace") {
		return nil
	}
	ns, err := m.Namespaces.Namespace(m.ctx, m.a.Namespace)
	if err != nil {
		return err
	}
	// Without owners and managed fields.
	meta := &ns.ObjectMeta
	m.namespace, err = admission.Tree(&corev1.Namespace{Spec: ns.Spec, Status: ns.Status, ObjectMeta: metav1.ObjectMeta{
		Name: meta.Name, GenerateName: meta.GenerateName, UID: meta.UID, ResourceVersion: meta.ResourceVersion, Generation: meta.Generation,
		CreationTimestamp: meta.CreationTimestamp, DeletionTimestamp: meta.DeletionTimestamp, DeletionGracePeriodSeconds: meta.DeletionGracePeriodSeconds,
		Labels: meta.Labels, Annotations: meta.Annotations, Finalizers: meta.Finalizers,
	}})
	m.namespaced = err == nil
	return err
}

// values are what expressions see of the write with a parameter.
func (m *meeting) values(v *admission.View, param map[string]any) (expression.Values, error) {
	var values expression.Values
	obj, old, err := v.Trees()
	if err != nil {
		return values, err
	}
	request, err := v.RequestTree()
	if err != nil {
		return values, err
	}
	values.SetObjects(obj, old)
	values.Request = request
	if param != nil {
		values.Params = param
	}
	values.Authorizer, values.RequestResource = m.asker.Values(expression.Requested{
		Resource: m.a.RequestResource(), Subresource: m.a.Subresource, Namespace: m.a.Namespace, Name: m.a.Name,
	})
	return values, nil
}

// withNamespace adds the namespace, which match conditions do not see.
func (m *meeting) withNamespace(v expression.Values) expression.Values {
	if m.namespace != nil {
		v.Namespace = m.namespace
	}
	return v
}
