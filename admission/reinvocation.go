package admission

import (
	"k8s.io/apimachinery/pkg/runtime"
)

// Reinvocation is what a plugin that lets others change the object remembers
// of them between its two passes: in the second, those are due again who ask
// for it and saw the object before somebody changed it.
type Reinvocation struct {
	// output is the object as the plugin left it.
	output runtime.Object
	// invoked are those who may be due again, due those who are.
	invoked, due map[string]bool
}

// Begin begins a pass. An object that is not what the plugin left has been
// changed by others.
func (r *Reinvocation) Begin(a *Attributes) {
	if a.SecondPass() && !Same(r.output, a.Object) {
		r.Changed()
	}
}

// End ends a pass.
func (r *Reinvocation) End(a *Attributes) {
	r.output = nil
	// Nobody looks at it after the second pass, or where nobody is due in it.
	if a.Object != nil && !a.SecondPass() && len(r.invoked)+len(r.due) > 0 {
		r.output = a.Object.DeepCopyObject()
	}
}

// Due reports whether one is to be asked in this pass: everybody in the first.
func (r *Reinvocation) Due(a *Attributes, key string) bool { return !a.SecondPass() || r.due[key] }

// Invoked notes that one has seen the object who wants to see it again if it
// changes.
func (r *Reinvocation) Invoked(key string) {
	if r.invoked == nil {
		r.invoked = map[string]bool{}
	}
	r.invoked[key] = true
}

// Changed notes that the object has changed: who has seen it is due again.
func (r *Reinvocation) Changed() {
	if r.due == nil {
		r.due = map[string]bool{}
	}
	for k := range r.invoked {
		r.due[k] = true
	}
	clear(r.invoked)
}
