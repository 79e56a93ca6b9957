package cache

import (
	"slices"

	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"proa/resource"
)

// Predicate selects objects. A nil Predicate selects all. It is immutable once
// made.
type Predicate struct {
	namespace string
	name      string
	labels    labels.Selector // nil: everything
	indexed   int             // which of Definition.Indexed must have the value, -1: none
	value     string
	fields    fields.Selector // what is left beyond the above; nil: nothing
	fieldsOf  func(resource.Object) map[string]string
}

// NewPredicate makes the predicate of a request: a namespace (empty for all),
// and selectors over labels and over the fields of the served version (either
// may be nil).
func NewPredicate(def *resource.Definition, served *resource.Served, namespace string, ls labels.Selector, fs fields.Selector) *Predicate {
	p := &Predicate{namespace: namespace, indexed: -1, fieldsOf: def.Fields}
	if def.ClusterScoped {
		p.namespace = ""
	}
	if served != nil && served.Fields != nil {
		p.fieldsOf = served.Fields
	}
	if ls != nil && !ls.Empty() {
		p.labels = ls
	}
	if fs == nil || fs.Empty() {
		return p
	}
	left := 0
	for _, r := range fs.Requirements() {
		exact := r.Operator == "=" || r.Operator == "=="
		switch {
		case exact && r.Field == "metadata.name" && p.name == "" && r.Value != "":
			p.name = r.Value
		case exact && r.Field == "metadata.namespace" && p.namespace == "" && r.Value != "" && !def.ClusterScoped:
			p.namespace = r.Value
		case exact && p.indexed < 0 && slices.Contains(def.Indexed, r.Field):
			p.indexed, p.value = slices.Index(def.Indexed, r.Field), r.Value
		default:
			left++
		}
	}
	if left > 0 {
		p.fields = fs
	}
	return p
}

// Everything reports whether the predicate selects all objects of its
// namespace.
func (p *Predicate) Everything() bool {
	return p == nil || p.name == "" && p.labels == nil && p.indexed < 0 && p.fields == nil
}

// Namespace is the one namespace that is selected, or empty.
func (p *Predicate) Namespace() string {
	if p == nil {
		return ""
	}
	return p.namespace
}

// Matches reports whether the predicate selects e, which may be nil.
func (p *Predicate) Matches(e *Entry) bool {
	if e == nil {
		return false
	}
	if p == nil {
		return true
	}
	if p.namespace != "" && p.namespace != e.Namespace || p.name != "" && p.name != e.Name {
		return false
	}
	if e.Object == nil {
		return true // corrupt: what it selects by cannot be known
	}
	if p.indexed >= 0 && (p.indexed >= len(e.index) || e.index[p.indexed] != p.value) {
		return false
	}
	if p.labels != nil && !p.labels.Matches(labels.Set(e.Object.GetLabels())) {
		return false
	}
	if p.fields == nil {
		return true
	}
	set := fields.Set{}
	for k, v := range p.fieldsOf(e.Object) {
		set[k] = v
	}
	set["metadata.name"], set["metadata.namespace"] = e.Name, e.Namespace
	return p.fields.Matches(set)
}

// trigger is the topic on which a watch with the predicate hears everything
// that concerns it, and least besides.
func (p *Predicate) trigger(def *resource.Definition) trigger {
	switch {
	case p == nil:
		return trigger{}
	case p.name != "" && (p.namespace != "" || def.ClusterScoped):
		return trigger{kind: byName, a: p.namespace, b: p.name}
	case p.indexed >= 0:
		return trigger{kind: byIndex, a: def.Indexed[p.indexed], b: p.value}
	case p.namespace != "":
		return trigger{kind: byNamespace, a: p.namespace}
	}
	return trigger{}
}

type triggerKind uint8

const (
	byAll triggerKind = iota
	byNamespace
	byName
	byIndex
)

// trigger names a topic. The zero trigger is the topic of all events.
type trigger struct {
	kind triggerKind
	a, b string
}
