package resource

import (
	"fmt"
	"sync"
	"sync/atomic"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Table holds every definition that is served. Readers take a [View] and never
// lock; changes replace the view.
type Table struct {
	view atomic.Pointer[View]

	mu      sync.Mutex // serialises changes
	changed chan struct{}
}

// View is an immutable state of the table.
type View struct {
	// Definitions in the order in which they were added.
	Definitions []*Definition

	byResource map[schema.GroupVersionResource]Match
	byKind     map[schema.GroupVersionKind]Match
}

// Match is a definition together with the version in which it was asked for.
type Match struct {
	*Definition
	Served *Served
}

// NewTable makes a table of the given definitions. It panics where two of them
// serve the same name, since that is a mistake in the program.
func NewTable(defs ...*Definition) *Table {
	t := &Table{changed: make(chan struct{})}
	v, err := newView(defs)
	if err != nil {
		panic(err)
	}
	t.view.Store(v)
	return t
}

// View returns the present state.
func (t *Table) View() *View { return t.view.Load() }

// Changed returns the present state and a channel that is closed at the next
// change.
func (t *Table) Changed() (*View, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.view.Load(), t.changed
}

// Replace removes the definitions in gone and adds those in come, in one step.
// It changes nothing and returns an error where two would serve the same name.
func (t *Table) Replace(gone, come []*Definition) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	drop := map[*Definition]bool{}
	for _, d := range gone {
		drop[d] = true
	}
	var defs []*Definition
	for _, d := range t.view.Load().Definitions {
		if !drop[d] {
			defs = append(defs, d)
		}
	}
	v, err := newView(append(defs, come...))
	if err != nil {
		return err
	}
	t.view.Store(v)
	close(t.changed)
	t.changed = make(chan struct{})
	return nil
}

// Resource finds a definition by what stands in a URL.
func (v *View) Resource(gvr schema.GroupVersionResource) (Match, bool) {
	m, ok := v.byResource[gvr]
	return m, ok
}

// KindFor finds a definition by the kind of its objects.
func (v *View) KindFor(gvk schema.GroupVersionKind) (Match, bool) {
	m, ok := v.byKind[gvk]
	return m, ok
}

func newView(defs []*Definition) (*View, error) {
	v := &View{
		Definitions: defs,
		byResource:  map[schema.GroupVersionResource]Match{},
		byKind:      map[schema.GroupVersionKind]Match{},
	}
	roots := map[string]*Definition{}
	for _, d := range defs {
		if was, ok := roots[d.Root()]; ok && !d.Virtual {
			return nil, fmt.Errorf("resource: %s and %s would be stored under the same key %s", was.GroupResource(), d.GroupResource(), d.Root())
		}
		if !d.Virtual {
			roots[d.Root()] = d
		}
		for i := range d.Served {
			s := &d.Served[i]
			gvr := s.GroupVersion.WithResource(d.Plural)
			if _, ok := v.byResource[gvr]; ok {
				return nil, fmt.Errorf("resource: %s is served twice", gvr)
			}
			v.byResource[gvr] = Match{d, s}
			v.byKind[s.GroupVersionKind()] = Match{d, s}
		}
	}
	return v, nil
}
