package admission

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"

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
	Operation   Operation
	Definition  *resource.Definition
	Subresource string
	Namespace   string
	// Name is empty at creation with generateName until the name is made.
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

// Mutate passes a through every mutator that handles it.
func (c Chain) Mutate(ctx context.Context, a *Attributes) error {
	for _, p := range c {
		if m, ok := p.(Mutator); ok && p.Handles(a.Operation, a.Definition, a.Subresource) {
			if err := m.Mutate(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// Validate passes a through every validator that handles it.
func (c Chain) Validate(ctx context.Context, a *Attributes) error {
	for _, p := range c {
		if v, ok := p.(Validator); ok && p.Handles(a.Operation, a.Definition, a.Subresource) {
			if err := v.Validate(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}
