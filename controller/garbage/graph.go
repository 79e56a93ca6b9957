package garbage

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// identity names an object for good.
type identity struct {
	gvk       schema.GroupVersionKind
	namespace string
	name      string
	uid       types.UID
}

// node is an object as the graph knows it.
type node struct {
	identity
	owners     []metav1.OwnerReference
	dependents map[types.UID]*node
	// deleting: it has a deletion timestamp. foreground and orphan: its
	// finalizers ask for that.
	deleting, foreground, orphan bool
	// virtual nodes are known only as somebody's owner: they have not been seen
	// themselves, or are gone.
	virtual bool
	// met: the object has been seen, so that its identity is its own and not
	// what a dependent says of it.
	met bool
}

// graph holds every object by uid. Safe for concurrent use; what it returns
// are copies.
type graph struct {
	mu    sync.Mutex
	nodes map[types.UID]*node
}

func newGraph() *graph { return &graph{nodes: map[types.UID]*node{}} }

// work is what a change of the graph gives rise to.
type work struct {
	// check objects whose owners may be gone, or that wait for dependents.
	check []types.UID
	// orphan the dependents of these.
	orphan []types.UID
}

// set takes in an object as it is now.
func (g *graph) set(id identity, m metav1.Object) (w work) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nodes[id.uid]
	if n == nil {
		n = &node{dependents: map[types.UID]*node{}}
		g.nodes[id.uid] = n
	}
	known := n.identity.name != "" && !n.virtual
	was := *n
	n.identity, n.virtual, n.met = id, false, true
	n.deleting = m.GetDeletionTimestamp() != nil
	n.foreground = has(m.GetFinalizers(), metav1.FinalizerDeleteDependents)
	n.orphan = has(m.GetFinalizers(), metav1.FinalizerOrphanDependents)
	g.relink(n, m.GetOwnerReferences(), &w)
	if len(n.owners) > 0 && (!known || !sameRefs(was.owners, n.owners)) {
		w.check = append(w.check, id.uid)
	}
	if n.deleting && n.orphan && !(was.deleting && was.orphan && known) {
		w.orphan = append(w.orphan, id.uid)
	}
	if n.deleting && n.foreground && !(was.deleting && was.foreground && known) {
		w.check = append(w.check, id.uid)
		for uid := range n.dependents {
			w.check = append(w.check, uid)
		}
	}
	return w
}

// remove forgets an object that is gone: its dependents are to be checked, and
// its owners that wait for it.
func (g *graph) remove(uid types.UID) (w work) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nodes[uid]
	if n == nil {
		return w
	}
	g.relink(n, nil, &w)
	for d := range n.dependents {
		w.check = append(w.check, d)
	}
	if len(n.dependents) > 0 {
		// It stays as a virtual node while objects name it as their owner.
		n.virtual, n.deleting, n.foreground, n.orphan = true, false, false, false
		return w
	}
	delete(g.nodes, uid)
	return w
}

// relink changes the owners of n.
func (g *graph) relink(n *node, refs []metav1.OwnerReference, w *work) {
	keep := map[types.UID]bool{}
	for _, r := range refs {
		keep[r.UID] = true
	}
	for _, r := range n.owners {
		o := g.nodes[r.UID]
		if o == nil || keep[r.UID] {
			continue
		}
		delete(o.dependents, n.uid)
		if o.deleting && o.foreground {
			w.check = append(w.check, o.uid)
		}
		if o.virtual && len(o.dependents) == 0 {
			delete(g.nodes, o.uid)
		}
	}
	for _, r := range refs {
		o := g.nodes[r.UID]
		if o == nil {
			o = &node{virtual: true, dependents: map[types.UID]*node{}, identity: identity{
				gvk: schema.FromAPIVersionAndKind(r.APIVersion, r.Kind), namespace: n.namespace, name: r.Name, uid: r.UID,
			}}
			g.nodes[r.UID] = o
		} else if o.deleting && o.foreground && o.dependents[n.uid] != nil {
			w.check = append(w.check, o.uid) // blockOwnerDeletion may have changed
		}
		o.dependents[n.uid] = n
	}
	n.owners = refs
}

// seen is a copy of a node that can be used without the graph's lock.
type seen struct {
	identity
	virtual    bool
	met        bool
	deleting   bool
	foreground bool
	dependents []dependent
}

type dependent struct {
	identity
	// blocks the deletion of the owner in the foreground.
	blocks bool
	// deleting: it is being deleted; waits: in the foreground, so that it waits
	// for dependents of its own.
	deleting, waits bool
}

func (g *graph) get(uid types.UID) (seen, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := g.nodes[uid]
	if n == nil {
		return seen{}, false
	}
	s := seen{identity: n.identity, virtual: n.virtual, met: n.met, deleting: n.deleting, foreground: n.foreground}
	for _, d := range n.dependents {
		x, owned := dependent{identity: d.identity, deleting: d.deleting, waits: d.deleting && d.foreground}, false
		for _, r := range d.owners {
			if r.UID == uid && n.meant(d, r) {
				owned = true
				x.blocks = x.blocks || r.BlockOwnerDeletion != nil && *r.BlockOwnerDeletion
			}
		}
		if owned {
			s.dependents = append(s.dependents, x)
		}
	}
	return s, true
}

// meant reports whether a reference of d says what n is. Owners do not reach
// into other namespaces.
func (n *node) meant(d *node, r metav1.OwnerReference) bool {
	return (n.namespace == "" || n.namespace == d.namespace) && n.name == r.Name &&
		n.gvk.GroupKind() == schema.FromAPIVersionAndKind(r.APIVersion, r.Kind).GroupKind()
}

func has(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

func sameRefs(a, b []metav1.OwnerReference) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].UID != b[i].UID {
			return false
		}
	}
	return true
}
