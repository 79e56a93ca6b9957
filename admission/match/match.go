// Package match decides which writes a webhook or policy is about: by rules of
// operations and resources, and by the labels of the object and its namespace.
package match

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	arv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/admission"
	"proa/resource"
)

// Namespaces reads namespaces.
type Namespaces interface {
	Namespace(ctx context.Context, name string) (*corev1.Namespace, error)
}

// Criteria are compiled from a configuration once. They are immutable.
type Criteria struct {
	// all: no rules, which match everything.
	all             bool
	rules, excluded []rule
	equivalent      bool
	namespace       selector
	object          selector
}

type selector struct {
	labels.Selector
	err error
}

func compile(s *metav1.LabelSelector, what string) selector {
	if s == nil {
		return selector{err: fmt.Errorf("a nil %s selector was passed, please ensure selectors are initialized properly", what)}
	}
	c, err := metav1.LabelSelectorAsSelector(s)
	return selector{c, err}
}

// rule is a rule with its resources split.
type rule struct {
	names      []string
	operations []arv1.OperationType
	groups     []string
	versions   []string
	resources  [][2]string
	scope      arv1.ScopeType
}

func newRule(r *arv1.RuleWithOperations, names []string) rule {
	c := rule{names: names, operations: r.Operations, groups: r.APIGroups, versions: r.APIVersions, scope: arv1.AllScopes}
	for _, s := range r.Resources {
		name, sub, _ := strings.Cut(s, "/")
		c.resources = append(c.resources, [2]string{name, sub})
	}
	if r.Scope != nil {
		c.scope = *r.Scope
	}
	return c
}

func newRules(named []arv1.NamedRuleWithOperations) []rule {
	var rules []rule
	for i := range named {
		rules = append(rules, newRule(&named[i].RuleWithOperations, named[i].ResourceNames))
	}
	return rules
}

// OfWebhook compiles the criteria of a webhook.
func OfWebhook(h *arv1.ValidatingWebhook) *Criteria {
	c := &Criteria{
		equivalent: h.MatchPolicy != nil && *h.MatchPolicy == arv1.Equivalent,
		namespace:  compile(h.NamespaceSelector, "namespace"), object: compile(h.ObjectSelector, "object"),
	}
	for i := range h.Rules {
		c.rules = append(c.rules, newRule(&h.Rules[i], nil))
	}
	return c
}

// OfPolicy compiles the constraints of a policy, or what a binding adds to
// them. Without any rules everything matches, as bindings have it.
func OfPolicy(m *arv1.MatchResources) *Criteria {
	return &Criteria{
		all: len(m.ResourceRules) == 0, rules: newRules(m.ResourceRules), excluded: newRules(m.ExcludeResourceRules),
		equivalent: m.MatchPolicy != nil && *m.MatchPolicy == arv1.Equivalent,
		namespace:  compile(m.NamespaceSelector, "namespace"), object: compile(m.ObjectSelector, "object"),
	}
}

// Match reports whether the criteria match a write, and in which version it is
// to be looked at: the one of the request unless only another one, that is
// equivalent, matches.
func (c *Criteria) Match(ctx context.Context, a *admission.Attributes, namespaces Namespaces) (*resource.Served, error) {
	if len(c.excluded) > 0 && c.version(c.excluded, a) != nil {
		return nil, nil
	}
	s := a.Version()
	if !c.all {
		// Rules first: they cost least, and refuse most.
		if s = c.version(c.rules, a); s == nil {
			return nil, nil
		}
	}
	ok, err := c.selects(ctx, a, namespaces)
	if !ok || err != nil {
		return nil, err
	}
	return s, nil
}

// version is the first in which a rule matches, or nil.
func (c *Criteria) version(rules []rule, a *admission.Attributes) *resource.Served {
	asked := a.Version()
	for i := range rules {
		if rules[i].matches(a, asked) {
			return asked
		}
	}
	if !c.equivalent || len(a.Definition.Served) < 2 {
		return nil
	}
	for i := range rules {
		for j := range a.Definition.Served {
			if s := &a.Definition.Served[j]; s.GroupVersion != asked.GroupVersion && rules[i].matches(a, s) {
				return s
			}
		}
	}
	return nil
}

func (r *rule) matches(a *admission.Attributes, s *resource.Served) bool {
	if !slices.Contains(r.operations, arv1.OperationAll) && !slices.Contains(r.operations, arv1.OperationType(a.Operation)) {
		return false
	}
	if !oneOf(r.groups, s.GroupVersion.Group) || !oneOf(r.versions, s.GroupVersion.Version) {
		return false
	}
	if len(r.names) > 0 && !slices.Contains(r.names, a.Name) {
		return false
	}
	clusterWide := a.Namespace == "" || s.GroupVersion == corev1.SchemeGroupVersion && a.Definition.Plural == "namespaces"
	if r.scope == arv1.ClusterScope && !clusterWide || r.scope == arv1.NamespacedScope && clusterWide {
		return false
	}
	for _, n := range r.resources {
		if (n[0] == "*" || n[0] == a.Definition.Plural) && (n[1] == "*" || n[1] == a.Subresource) {
			return true
		}
	}
	return false
}

func oneOf(allowed []string, v string) bool {
	return slices.Contains(allowed, "*") || slices.Contains(allowed, v)
}

// selects looks at labels. An error of the one selector does not count where
// the other one does not match.
func (c *Criteria) selects(ctx context.Context, a *admission.Attributes, namespaces Namespaces) (bool, error) {
	ok, objectErr := c.selectsObject(a)
	if !ok && objectErr == nil {
		return false, nil
	}
	ok, err := c.selectsNamespace(ctx, a, namespaces)
	if !ok && err == nil {
		return false, nil
	}
	if err == nil {
		err = objectErr
	}
	return err == nil, err
}

func (c *Criteria) selectsObject(a *admission.Attributes) (bool, error) {
	if c.object.err != nil {
		return false, internal(c.object.err)
	}
	return c.object.Empty() || carries(a.Object, c.object) || carries(a.Old, c.object), nil
}

func carries(o runtime.Object, s labels.Selector) bool {
	if o == nil {
		return false
	}
	m, err := meta.Accessor(o)
	return err == nil && s.Matches(labels.Set(m.GetLabels()))
}

func (c *Criteria) selectsNamespace(ctx context.Context, a *admission.Attributes, namespaces Namespaces) (bool, error) {
	of := a.Definition.GroupResource() == schema.GroupResource{Resource: "namespaces"}
	if a.Namespace == "" && !of {
		return true, nil // what lies in no namespace is never exempt
	}
	if c.namespace.err != nil {
		return false, internal(c.namespace.err)
	}
	if c.namespace.Empty() {
		return true, nil
	}
	if of && a.Subresource == "" && (a.Operation == admission.Create || a.Operation == admission.Update) {
		// The labels that it is about to have.
		return carries(a.Object, c.namespace), nil
	}
	ns, err := namespaces.Namespace(ctx, a.Namespace)
	if err != nil {
		return false, internal(err)
	}
	return c.namespace.Matches(labels.Set(ns.Labels)), nil
}

// internal keeps "not found", by which a client learns that its namespace is
// gone.
func internal(err error) error {
	var status *apierrors.StatusError
	if errors.As(err, &status) && apierrors.IsNotFound(err) {
		return status
	}
	return apierrors.NewInternalError(err)
}

// Exempt reports whether a write is one of the configuration of admission
// itself, which nobody who is configured by it may stop.
func Exempt(d *resource.Definition) bool { return d.Storage.Group == arv1.GroupName }
