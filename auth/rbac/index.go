package rbac

import (
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	rbacv1 "k8s.io/api/rbac/v1"

	"proa/auth"
)

// shards is the number of parts that the table of subjects is cut into, so
// that one binding copies a small map.
const shards = 64

// Index is the policy of a cluster, ready to be asked. Safe for concurrent
// use; readers do not wait for writers.
type Index struct {
	seed   maphash.Seed
	shards [shards]atomic.Pointer[map[subject][]*grant]

	mu       sync.Mutex // serialises changes, guards the following
	roles    map[objectKey]*role
	bindings map[objectKey]*binding
}

// objectKey names a role or a binding; namespace is empty for those of the
// whole cluster.
type objectKey struct{ namespace, name string }

// subject is who is granted something where: a user or a group, in a namespace
// or (namespace empty) everywhere.
type subject struct {
	namespace, name string
	group           bool
}

// role is the cell that grants point to. Its rules are nil while the role does
// not exist.
type role struct {
	kind  string
	key   objectKey
	rules atomic.Pointer[rules]
	used  int // bindings that name it
}

// grant is one subject of one binding. Immutable.
type grant struct {
	role    *role
	binding objectKey
	reason  string
}

// binding is what a stored binding has put into the index.
type binding struct {
	role     *role
	subjects map[subject]*grant
}

// New makes an empty index, which allows nothing.
func New() *Index {
	x := &Index{
		seed:     maphash.MakeSeed(),
		roles:    map[objectKey]*role{},
		bindings: map[objectKey]*binding{},
	}
	for i := range x.shards {
		x.shards[i].Store(&map[subject][]*grant{})
	}
	return x
}

func (x *Index) shard(name string) *atomic.Pointer[map[subject][]*grant] {
	return &x.shards[maphash.String(x.seed, name)%shards]
}

func (x *Index) grants(s subject) []*grant { return (*x.shard(s.name).Load())[s] }

// SetClusterRole adds or replaces a cluster role.
func (x *Index) SetClusterRole(r *rbacv1.ClusterRole) {
	x.setRole("ClusterRole", objectKey{name: r.Name}, r.Rules)
}

// DeleteClusterRole removes a cluster role.
func (x *Index) DeleteClusterRole(name string) { x.deleteRole(objectKey{name: name}) }

// SetRole adds or replaces a role.
func (x *Index) SetRole(r *rbacv1.Role) {
	x.setRole("Role", objectKey{r.Namespace, r.Name}, r.Rules)
}

// DeleteRole removes a role.
func (x *Index) DeleteRole(namespace, name string) { x.deleteRole(objectKey{namespace, name}) }

// SetClusterRoleBinding adds or replaces a binding of the whole cluster.
func (x *Index) SetClusterRoleBinding(b *rbacv1.ClusterRoleBinding) {
	x.setBinding(objectKey{name: b.Name}, b.RoleRef, b.Subjects)
}

// DeleteClusterRoleBinding removes a binding of the whole cluster.
func (x *Index) DeleteClusterRoleBinding(name string) { x.deleteBinding(objectKey{name: name}) }

// SetRoleBinding adds or replaces a binding of a namespace.
func (x *Index) SetRoleBinding(b *rbacv1.RoleBinding) {
	x.setBinding(objectKey{b.Namespace, b.Name}, b.RoleRef, b.Subjects)
}

// DeleteRoleBinding removes a binding of a namespace.
func (x *Index) DeleteRoleBinding(namespace, name string) {
	x.deleteBinding(objectKey{namespace, name})
}

func (x *Index) setRole(kind string, key objectKey, source []rbacv1.PolicyRule) {
	c := compile(source)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.roleCell(kind, key).rules.Store(c)
}

func (x *Index) deleteRole(key objectKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if r := x.roles[key]; r != nil {
		r.rules.Store(nil)
		x.dropUnused(r)
	}
}

func (x *Index) roleCell(kind string, key objectKey) *role {
	r := x.roles[key]
	if r == nil {
		r = &role{kind: kind, key: key}
		x.roles[key] = r
	}
	return r
}

// dropUnused forgets the cell of a role that neither exists nor is named.
func (x *Index) dropUnused(r *role) {
	if r.used == 0 && r.rules.Load() == nil {
		delete(x.roles, r.key)
	}
}

func (x *Index) setBinding(key objectKey, ref rbacv1.RoleRef, subjects []rbacv1.Subject) {
	x.mu.Lock()
	defer x.mu.Unlock()
	rk := objectKey{name: ref.Name}
	switch {
	case ref.Kind == "ClusterRole":
	case ref.Kind == "Role" && key.namespace != "":
		rk.namespace = key.namespace
	default:
		// Validation refuses it; a binding that was stored otherwise grants
		// nothing.
		x.replace(key, nil)
		return
	}
	b := &binding{role: x.roleCell(ref.Kind, rk), subjects: map[subject]*grant{}}
	b.role.used++
	for i := range subjects {
		s, ok := subjectOf(&subjects[i], key.namespace)
		if !ok || b.subjects[s] != nil {
			continue
		}
		b.subjects[s] = &grant{role: b.role, binding: key, reason: reason(key, ref, &subjects[i])}
	}
	x.replace(key, b)
}

func (x *Index) deleteBinding(key objectKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.replace(key, nil)
}

// replace puts b in the place of the binding key; nil removes it.
func (x *Index) replace(key objectKey, b *binding) {
	was := x.bindings[key]
	if b != nil {
		x.bindings[key] = b
		for s, g := range b.subjects {
			x.edit(s, key, g)
		}
	} else {
		delete(x.bindings, key)
	}
	if was == nil {
		return
	}
	for s := range was.subjects {
		if b == nil || b.subjects[s] == nil {
			x.edit(s, key, nil)
		}
	}
	was.role.used--
	x.dropUnused(was.role)
}

// edit replaces what one binding grants to one subject.
func (x *Index) edit(s subject, key objectKey, g *grant) {
	p := x.shard(s.name)
	was := *p.Load()
	var list []*grant
	for _, old := range was[s] {
		if old.binding != key {
			list = append(list, old)
		}
	}
	if g != nil {
		list = append(list, g)
	}
	// In the order of names, so that reasons do not depend on the order of
	// events.
	slices.SortFunc(list, func(a, b *grant) int { return strings.Compare(a.binding.name, b.binding.name) })
	now := make(map[subject][]*grant, len(was)+1)
	for k, v := range was {
		now[k] = v
	}
	if len(list) == 0 {
		delete(now, s)
	} else {
		now[s] = list
	}
	p.Store(&now)
}

// subjectOf says who a subject of a binding is. A service account is the user
// that it authenticates as.
func subjectOf(s *rbacv1.Subject, namespace string) (subject, bool) {
	switch s.Kind {
	case rbacv1.UserKind:
		return subject{namespace: namespace, name: s.Name}, true
	case rbacv1.GroupKind:
		return subject{namespace: namespace, name: s.Name, group: true}, true
	case rbacv1.ServiceAccountKind:
		ns := s.Namespace
		if ns == "" {
			ns = namespace
		}
		if ns == "" {
			return subject{}, false
		}
		return subject{namespace: namespace, name: auth.ServiceAccountPrefix + ns + ":" + s.Name}, true
	}
	return subject{}, false
}

// reason is what the audit log says of a request that a binding allowed.
func reason(key objectKey, ref rbacv1.RoleRef, s *rbacv1.Subject) string {
	who := fmt.Sprintf("%s %q", s.Kind, s.Name)
	if s.Kind == rbacv1.ServiceAccountKind {
		ns := s.Namespace
		if ns == "" {
			ns = key.namespace
		}
		who = fmt.Sprintf("%s %q", s.Kind, s.Name+"/"+ns)
	}
	if key.namespace == "" {
		return fmt.Sprintf("RBAC: allowed by ClusterRoleBinding %q of %s %q to %s", key.name, ref.Kind, ref.Name, who)
	}
	return fmt.Sprintf("RBAC: allowed by RoleBinding %q of %s %q to %s", key.name+"/"+key.namespace, ref.Kind, ref.Name, who)
}
