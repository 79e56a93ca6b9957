package admission

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/auth"
	"proa/resource"
)

// Operation is what a request does to an object.
type Operation string

// The operations, by their names in the admission API.
const (
	Create  Operation = "CREATE"
	Update  Operation = "UPDATE"
	Delete  Operation = "DELETE"
	Connect Operation = "CONNECT"
)

// Attributes is one write on its way to the store.
type Attributes struct {
	Operation  Operation
	Definition *resource.Definition
	// Served is the version in which the request came, nil for the stored one.
	Served      *resource.Served
	Subresource string
	// Kind of Object in the request: that of Served unless it is set.
	Kind      schema.GroupVersionKind
	Namespace string
	// Name is empty at creation with generateName until the name is made,
	// which is after the mutators.
	Name string
	// Object is in the storage version, or of the subresource's own kind
	// (Binding, Eviction, Scale, TokenRequest). It is nil for Delete, and
	// mutators may change it in place.
	Object runtime.Object
	// Old is the stored object, nil for Create. It is shared: never change it.
	Old runtime.Object
	// Options are the CreateOptions, UpdateOptions, PatchOptions or
	// DeleteOptions of the request; for Connect, the options of the
	// subresource.
	Options runtime.Object
	User    *auth.User
	DryRun  bool
	// Warn adds a warning to the response.
	Warn func(text string)
	// Annotate adds an annotation to what the audit log says of the request; one
	// that shows what the request brings only where that is logged. Nil where nothing is logged. Safe for concurrent use, as Warn is.
	Annotate func(key, value string, shows bool)

	// Observe is told of what is done, for metrics; may be nil.
	Observe Observer

	// What mutators know of the passes over the object, and of each other.
	second, again bool
	memory        map[string]any
}

// Audit adds an annotation to what the audit log says of the request.
func (a *Attributes) Audit(key, value string) {
	if a.Annotate != nil {
		a.Annotate(key, value, false)
	}
}

// SecondPass reports whether the mutators see the object once more, since one
// has changed it after others had seen it.
func (a *Attributes) SecondPass() bool { return a.second }

// PassAgain lets the object pass all mutators once more, after this pass. There
// are never more than two.
func (a *Attributes) PassAgain() { a.again = true }

// Memory is what a plugin remembers from its first pass for its second; at
// first it is what fresh makes.
func (a *Attributes) Memory(plugin string, fresh func() any) any {
	if m, ok := a.memory[plugin]; ok {
		return m
	}
	if a.memory == nil {
		a.memory = map[string]any{}
	}
	m := fresh()
	a.memory[plugin] = m
	return m
}

// Plugin is a Mutator, a Validator, or both.
type Plugin interface {
	// Name is upstream's name of the plugin, as in --disable-admission-plugins.
	Name() string
	// Handles says cheaply whether the plugin wants to see such a request.
	Handles(op Operation, def *resource.Definition, subresource string) bool
}

// Mutator is a plugin that may change the object.
type Mutator interface {
	Plugin
	Mutate(ctx context.Context, a *Attributes) error
}

// Validator is a plugin that may refuse the write and changes nothing.
type Validator interface {
	Plugin
	Validate(ctx context.Context, a *Attributes) error
}

// Chain is an ordered list of plugins. Errors should be API status errors
// (k8s.io/apimachinery/pkg/api/errors); any other becomes Forbidden.
type Chain []Plugin

// Mutate passes a through every mutator that handles it, and through all once
// more where one asks for that.
func (c Chain) Mutate(ctx context.Context, a *Attributes) (err error) {
	watch := a.time(Admit)
	defer func() { watch.step(err) }()
	if err := c.pass(ctx, a, &watch); err != nil || !a.again {
		return err
	}
	a.second = true
	return c.pass(ctx, a, &watch)
}

func (c Chain) pass(ctx context.Context, a *Attributes, watch *stopwatch) error {
	for _, p := range c {
		if m, ok := p.(Mutator); ok && p.Handles(a.Operation, a.Definition, a.Subresource) {
			err := m.Mutate(ctx, a)
			watch.plugin(p, err)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Validate passes a through every validator that handles it.
func (c Chain) Validate(ctx context.Context, a *Attributes) (err error) {
	watch := a.time(Validate)
	defer func() { watch.step(err) }()
	for _, p := range c {
		if v, ok := p.(Validator); ok && p.Handles(a.Operation, a.Definition, a.Subresource) {
			err := v.Validate(ctx, a)
			watch.plugin(p, err)
			if err != nil {
				return err
			}
		}
	}
	return nil
}
