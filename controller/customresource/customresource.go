package customresource

import (
	"context"
	"reflect"
	"strconv"
	"sync"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	client "k8s.io/apiextensions-apiserver/pkg/client/clientset/clientset/typed/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"proa/controller"
	"proa/resource/apiextensions"
)

// Config is what both loops need beside their Env.
type Config struct {
	// Client writes definitions.
	Client client.CustomResourceDefinitionInterface
	// Definitions is the informer of them, which somebody else runs.
	Definitions cache.SharedIndexInformer
}

// Conditions is the loop that accepts names and keeps conditions.
func Conditions(c Config) controller.Definition {
	return controller.Definition{Name: "crd-conditions", New: func(env controller.Env) (controller.Controller, error) {
		l := &conditions{Config: c, env: env, schemas: map[types.UID]checked{}}
		// One worker: names are given to one definition at a time.
		l.loop = controller.NewLoop("crd-conditions", env, 1, l.reconcile)
		return l, controller.Watch(l.loop, c.Definitions, func(old, d *crd, deleted bool) []controller.Key {
			keys := []controller.Key{{Name: d.Name}}
			if deleted || old != nil && !reflect.DeepEqual(old.Status.AcceptedNames, d.Status.AcceptedNames) {
				return append(keys, l.group(d)...)
			}
			return keys
		})
	}}
}

type conditions struct {
	Config
	env  controller.Env
	loop *controller.Loop[controller.Key]

	mu sync.Mutex
	// written are definitions as they were last written, while the informer may
	// not have them yet: their names are taken.
	written map[string]*crd
	schemas map[types.UID]checked
}

// checked is what was found of the schemas of a generation.
type checked struct {
	generation int64
	found      *condition
}

// Run implements controller.Controller.
func (l *conditions) Run(ctx context.Context) error { return l.loop.Run(ctx) }

// group are the keys of the other definitions of a group that lack a name.
func (l *conditions) group(d *crd) []controller.Key {
	var keys []controller.Key
	for _, o := range l.all() {
		if o.Spec.Group == d.Spec.Group && o.Name != d.Name && !apiextensions.Is(o, apiextensionsv1.NamesAccepted) {
			keys = append(keys, controller.Key{Name: o.Name})
		}
	}
	return keys
}

// all are the definitions, each as recent as is known.
func (l *conditions) all() []*crd {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []*crd
	for _, o := range l.Definitions.GetStore().List() {
		d := o.(*crd)
		if w := l.written[d.Name]; w != nil && w.UID == d.UID && newer(w, d) {
			d = w
		} else {
			delete(l.written, d.Name)
		}
		out = append(out, d)
	}
	return out
}

func (l *conditions) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	var d *crd
	all := l.all()
	for _, o := range all {
		if o.Name == key.Name {
			d = o
		}
	}
	if d == nil {
		l.forget(all)
		return controller.Done, nil
	}
	next := decide(d, all, l.check(d), metav1.NewTime(l.env.Clock.Now()))
	if next == nil {
		return controller.Done, nil
	}
	now, err := l.Client.UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
		return controller.Done, nil // the event that tells of it comes
	}
	if err != nil {
		return controller.Done, err
	}
	l.mu.Lock()
	if l.written == nil {
		l.written = map[string]*crd{}
	}
	l.written[d.Name] = now
	l.mu.Unlock()
	for _, k := range l.group(d) {
		l.loop.Add(k) // a name may have become free
	}
	return controller.Done, nil
}

// check looks at the schemas of a generation once.
func (l *conditions) check(d *crd) *condition {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, ok := l.schemas[d.UID]
	if !ok || c.generation != d.Generation {
		c = checked{d.Generation, checkSchemas(d)}
		l.schemas[d.UID] = c
	}
	return c.found
}

// forget drops what is known of definitions that have gone.
func (l *conditions) forget(all []*crd) {
	there := map[types.UID]bool{}
	for _, d := range all {
		there[d.UID] = true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for uid := range l.schemas {
		if !there[uid] {
			delete(l.schemas, uid)
		}
	}
	for name, d := range l.written {
		if !there[d.UID] {
			delete(l.written, name)
		}
	}
}

// newer compares two states of the same definition. What cannot be compared is
// not newer.
func newer(a, b *crd) bool {
	x, err := strconv.ParseInt(a.ResourceVersion, 10, 64)
	y, err2 := strconv.ParseInt(b.ResourceVersion, 10, 64)
	return err == nil && err2 == nil && x > y
}
