package policy

import (
	"errors"
	"fmt"

	arv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/admission"
	"proa/cache"
	"proa/resource"
)

// param is one parameter. Its tree is nil where a policy has none.
type param struct {
	namespace, name string
	tree            map[string]any
}

// params are those of a policy and binding: one without a tree where there are
// to be none, and no element where none is found and that lets the write pass.
func (m *meeting) params(h *head, b *binding) ([]param, error) {
	if h.paramKind == nil || b.params == nil {
		return []param{{}}, nil
	}
	gv, err := schema.ParseGroupVersion(h.paramKind.APIVersion)
	if err != nil {
		return nil, err
	}
	kind, ok := m.Table.View().KindFor(gv.WithKind(h.paramKind.Kind))
	if !ok || kind.Virtual {
		return nil, fmt.Errorf("paramKind kind `%v` not known", h.paramKind.String())
	}
	ns := b.params.Namespace
	switch {
	case kind.ClusterScoped && ns != "":
		return nil, errors.New("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
	case !kind.ClusterScoped && ns == "":
		if ns = m.a.Namespace; ns == "" {
			return nil, errors.New("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources")
		}
	}
	found, err := m.find(kind, ns, b.params)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 && b.params.ParameterNotFoundAction != nil && *b.params.ParameterNotFoundAction == arv1.DenyAction {
		return nil, errors.New("no params found for policy binding with `Deny` parameterNotFoundAction")
	}
	params := make([]param, len(found))
	for i, e := range found {
		tree, err := treeOf(kind, e.Object)
		if err != nil {
			return nil, err
		}
		params[i] = param{e.Namespace, e.Name, tree}
	}
	return params, nil
}

// find reads the objects that a binding names. One that is not there is looked
// for in the store: it may just have been made.
func (m *meeting) find(kind resource.Match, namespace string, r *arv1.ParamRef) ([]*cache.Entry, error) {
	c := m.Hub.Cache(kind.Definition)
	if r.Name != "" {
		e, _, err := c.Get(m.ctx, namespace, r.Name, cache.Any, 0)
		if errors.Is(err, cache.ErrNotFound) {
			e, _, err = c.Get(m.ctx, namespace, r.Name, cache.Latest, 0)
		}
		switch {
		case errors.Is(err, cache.ErrNotFound):
			return nil, nil
		case err != nil:
			return nil, err
		}
		return []*cache.Entry{e}, nil
	}
	s, err := metav1.LabelSelectorAsSelector(r.Selector)
	if err != nil {
		return nil, err
	}
	list := func(at cache.Match) ([]*cache.Entry, error) {
		l, err := c.List(m.ctx, cache.ListRequest{Predicate: cache.NewPredicate(kind.Definition, kind.Served, namespace, labels.Selector(s), nil), Match: at})
		return l.Entries, err
	}
	found, err := list(cache.Any)
	if err == nil && len(found) == 0 {
		found, err = list(cache.Latest)
	}
	return found, err
}

// treeOf is a stored object as it reads in the version that a policy asks for.
func treeOf(kind resource.Match, stored resource.Object) (map[string]any, error) {
	obj, err := kind.Served.To(stored)
	if err != nil {
		return nil, err
	}
	tree, err := admission.Tree(obj)
	if err != nil {
		return nil, err
	}
	tree["apiVersion"], tree["kind"] = kind.Served.GroupVersion.String(), kind.Served.Kind
	return tree, nil
}
