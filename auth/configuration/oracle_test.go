package configuration_test

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	resourcev1 "k8s.io/api/resource/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"proa/auth"
	"proa/auth/authtest"
	"proa/auth/configuration"
	"proa/auth/node"
	"proa/auth/rbac"
	"proa/auth/rbac/bootstrap"
)

// The oracle decides by reading everything there is for every question: the objects
// as lists, what a node may do as the table below, and webhooks as the functions that
// they are. It shares no code with what it checks.

// world is everything that decisions depend on.
type world struct {
	clusterRoles    map[string]*rbacv1.ClusterRole
	roles           map[string]*rbacv1.Role
	clusterBindings map[string]*rbacv1.ClusterRoleBinding
	bindings        map[string]*rbacv1.RoleBinding
	pods            map[string]*corev1.Pod
	volumes         map[string]*corev1.PersistentVolume
	attachments     map[string]*storagev1.VolumeAttachment
	slices          map[string]*resourcev1.ResourceSlice
	chain           []link
}

// link is an authorizer of the chain.
type link struct {
	kind   string
	name   string
	closed bool   // failure policy Deny
	only   string // namespace of the match condition
}

// opinion of one authorizer, and whether it failed.
type opinion struct {
	auth.Decision
	failed bool
}

func (w *world) decide(a *auth.Attributes) opinion {
	if slices.Contains(a.User.Groups, "system:masters") {
		return opinion{auth.Allow, false}
	}
	failed := false
	for _, l := range w.chain {
		var o opinion
		switch l.kind {
		case "Node":
			o.Decision = yes(w.nodeMay(a))
		case "RBAC":
			o.Decision = yes(w.rolesAllow(a))
		case "Webhook":
			o = l.hookSays(a)
		}
		if o.Decision != auth.NoOpinion {
			return o
		}
		failed = failed || o.failed
	}
	return opinion{auth.NoOpinion, failed}
}

func yes(ok bool) auth.Decision {
	if ok {
		return auth.Allow
	}
	return auth.NoOpinion
}

// hookSays is what comes of a webhook.
func (l link) hookSays(a *auth.Attributes) opinion {
	failed := opinion{auth.NoOpinion, true}
	if l.closed {
		failed = opinion{auth.Deny, true}
	}
	if l.only != "" {
		switch {
		case !a.IsResource:
			return failed // the condition speaks of what there is not
		case a.Namespace != l.only:
			return opinion{}
		}
	}
	switch verdict(l.name, a.User.Name, a.Verb, a.Path, a.Resource, a.Namespace, a.Name) {
	case 0:
		return opinion{Decision: auth.Allow}
	case 1:
		return opinion{Decision: auth.Deny}
	case 2:
		return failed
	}
	return opinion{}
}

// verdict is what a webhook thinks, by no reason: allow, deny, fail, or nothing.
func verdict(parts ...string) uint32 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.Join(parts, "|")))
	return h.Sum32() % 8
}

// rolesAllow reads all bindings, and the roles that they name.
func (w *world) rolesAllow(a *auth.Attributes) bool {
	is := func(s rbacv1.Subject, namespace string) bool {
		switch s.Kind {
		case "User":
			return s.Name == a.User.Name
		case "Group":
			return slices.Contains(a.User.Groups, s.Name)
		case "ServiceAccount":
			if s.Namespace == "" {
				s.Namespace = namespace
			}
			return s.Namespace != "" && a.User.Name == "system:serviceaccount:"+s.Namespace+":"+s.Name
		}
		return false
	}
	for _, b := range w.clusterBindings {
		r := w.clusterRoles[b.RoleRef.Name]
		if b.RoleRef.Kind == "ClusterRole" && r != nil && slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return is(s, "") }) && rulesAllow(r.Rules, a) {
			return true
		}
	}
	for _, b := range w.bindings {
		if a.Namespace == "" || b.Namespace != a.Namespace || !slices.ContainsFunc(b.Subjects, func(s rbacv1.Subject) bool { return is(s, b.Namespace) }) {
			continue
		}
		var rules []rbacv1.PolicyRule
		if r := w.clusterRoles[b.RoleRef.Name]; b.RoleRef.Kind == "ClusterRole" && r != nil {
			rules = r.Rules
		}
		if r := w.roles[b.Namespace+"/"+b.RoleRef.Name]; b.RoleRef.Kind == "Role" && r != nil {
			rules = r.Rules
		}
		if rulesAllow(rules, a) {
			return true
		}
	}
	return false
}

func rulesAllow(rules []rbacv1.PolicyRule, a *auth.Attributes) bool {
	one := func(list []string, names ...string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return s == "*" || slices.Contains(names, s) })
	}
	for _, r := range rules {
		if !one(r.Verbs, a.Verb) {
			continue
		}
		if !a.IsResource {
			if slices.ContainsFunc(r.NonResourceURLs, func(p string) bool {
				rest, star := strings.CutSuffix(p, "*")
				return p == a.Path || star && strings.HasPrefix(a.Path, rest)
			}) {
				return true
			}
			continue
		}
		whole, part := a.Resource, "*"
		if a.Subresource != "" {
			whole, part = a.Resource+"/"+a.Subresource, "*/"+a.Subresource
		}
		if one(r.APIGroups, a.Group) && one(r.Resources, whole, part) && (len(r.ResourceNames) == 0 || slices.Contains(r.ResourceNames, a.Name)) {
			return true
		}
	}
	return false
}

// nodeTable is what a node may do: verbs, group, resource and subresource, and on
// which condition. Leases have no parts, so that theirs are not told apart.
const nodeTable = `
create                       authentication.k8s.io  tokenreviews               always
create                       authorization.k8s.io   subjectaccessreviews       always
create                       authorization.k8s.io   localsubjectaccessreviews  always
get,list,watch               -                      services                   always
get                          -                      endpoints                  always
create,update,patch          -                      events                     always
create,update,patch          -                      nodes                      always
get,list,watch               -                      nodes                      itself
update,patch                 -                      nodes/status               always
get                          -                      pods                       needs
list,watch                   -                      pods                       its-pods
create,delete                -                      pods                       always
update,patch                 -                      pods/status                always
create                       -                      pods/eviction              always
get,list,watch               -                      secrets                    needs
get,list,watch               -                      configmaps                 needs
get                          -                      persistentvolumeclaims     needs
get,update,patch             -                      persistentvolumeclaims/status  needs
get                          -                      persistentvolumes          needs
get                          -                      serviceaccounts            needs
create                       -                      serviceaccounts/token      needs
get                          resource.k8s.io        resourceclaims             needs
create                       resource.k8s.io        resourceslices             always
get,update,patch,delete      resource.k8s.io        resourceslices             needs
list,watch,deletecollection  resource.k8s.io        resourceslices             its-pods-field
get                          storage.k8s.io         volumeattachments          needs
get,update,patch,delete      storage.k8s.io         csinodes                   name
create                       storage.k8s.io         csinodes                   always
get,list,watch               storage.k8s.io         csidrivers                 always
get,list,watch               node.k8s.io            runtimeclasses             always
create,get,list,watch        certificates.k8s.io    certificatesigningrequests always
get,update,patch,delete      coordination.k8s.io    leases/*                   name-in-lease-namespace
create                       coordination.k8s.io    leases/*                   in-lease-namespace
`

func (w *world) nodeMay(a *auth.Attributes) bool {
	me, ok := strings.CutPrefix(a.User.Name, "system:node:")
	if !ok || me == "" || !slices.Contains(a.User.Groups, "system:nodes") || !a.IsResource {
		return false
	}
	resource := a.Resource
	if a.Subresource != "" {
		resource += "/" + a.Subresource
	}
	group := a.Group
	if group == "" {
		group = "-"
	}
	for line := range strings.Lines(nodeTable) {
		f := strings.Fields(line)
		if len(f) == 4 && slices.Contains(strings.Split(f[0], ","), a.Verb) && f[1] == group && (f[2] == resource || f[2] == a.Resource+"/*") && w.condition(f[3], me, a) {
			return true
		}
	}
	return false
}

func (w *world) condition(c, me string, a *auth.Attributes) bool {
	asks := func(field string) bool {
		return slices.ContainsFunc(a.Fields, func(r fields.Requirement) bool {
			return r.Field == field && r.Value == me && (r.Operator == "=" || r.Operator == "==")
		})
	}
	switch c {
	case "always":
		return true
	case "name":
		return a.Name == me
	case "in-lease-namespace":
		return a.Namespace == "kube-node-lease"
	case "name-in-lease-namespace":
		return a.Namespace == "kube-node-lease" && a.Name == me
	case "itself":
		return a.Name == me || asks("metadata.name")
	case "its-pods-field":
		return asks("spec.nodeName")
	case "its-pods":
		return asks("spec.nodeName") || a.Namespace != "" && a.Name != "" && w.needs(me, a)
	case "needs":
		return w.needs(me, a)
	}
	panic(c)
}

// needs looks through all pods of a node for what a question is about.
func (w *world) needs(me string, a *auth.Attributes) bool {
	switch a.Resource {
	case "volumeattachments":
		o := w.attachments[a.Name]
		return o != nil && o.Spec.NodeName == me
	case "resourceslices":
		o := w.slices[a.Name]
		return o != nil && o.Spec.NodeName != nil && *o.Spec.NodeName == me
	case "persistentvolumes":
		v := w.volumes[a.Name]
		return v != nil && w.usesClaimOf(me, v)
	}
	if a.Resource == "secrets" {
		for _, v := range w.volumes {
			s := v.Spec.CSI.NodePublishSecretRef
			if v.Spec.ClaimRef == nil || s == nil {
				continue
			}
			namespace := s.Namespace
			if namespace == "" {
				namespace = v.Spec.ClaimRef.Namespace
			}
			if namespace == a.Namespace && s.Name == a.Name && w.usesClaimOf(me, v) {
				return true
			}
		}
	}
	for _, p := range w.pods {
		if p.Spec.NodeName == me && p.Namespace == a.Namespace && podNames(p, a.Resource, a.Name) {
			return true
		}
	}
	return false
}

func (w *world) usesClaimOf(me string, v *corev1.PersistentVolume) bool {
	c := v.Spec.ClaimRef
	for _, p := range w.pods {
		if c != nil && p.Spec.NodeName == me && p.Namespace == c.Namespace && podNames(p, "persistentvolumeclaims", c.Name) {
			return true
		}
	}
	return false
}

// podNames reports whether a pod is, or names, an object. What a pod that only
// mirrors one names does not count.
func podNames(p *corev1.Pod, resource, name string) bool {
	if resource == "pods" {
		return p.Name == name
	}
	if _, mirror := p.Annotations["kubernetes.io/config.mirror"]; mirror {
		return false
	}
	var names []string
	switch resource {
	case "serviceaccounts":
		names = append(names, p.Spec.ServiceAccountName)
	case "secrets":
		for _, s := range p.Spec.ImagePullSecrets {
			names = append(names, s.Name)
		}
	case "resourceclaims":
		for _, c := range p.Spec.ResourceClaims {
			if c.ResourceClaimName != nil {
				names = append(names, *c.ResourceClaimName)
			}
		}
	}
	for _, c := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
		for _, e := range c.Env {
			if e.ValueFrom == nil {
				continue
			}
			if r := e.ValueFrom.SecretKeyRef; r != nil && resource == "secrets" {
				names = append(names, r.Name)
			}
			if r := e.ValueFrom.ConfigMapKeyRef; r != nil && resource == "configmaps" {
				names = append(names, r.Name)
			}
		}
	}
	for _, v := range p.Spec.Volumes {
		switch {
		case v.Secret != nil && resource == "secrets":
			names = append(names, v.Secret.SecretName)
		case v.ConfigMap != nil && resource == "configmaps":
			names = append(names, v.ConfigMap.Name)
		case v.PersistentVolumeClaim != nil && resource == "persistentvolumeclaims":
			names = append(names, v.PersistentVolumeClaim.ClaimName)
		case v.Ephemeral != nil && resource == "persistentvolumeclaims":
			names = append(names, p.Name+"-"+v.Name)
		}
	}
	return name != "" && slices.Contains(names, name)
}

// gen makes random objects and questions over few names, so that they meet.
type gen struct{ *rand.Rand }

func (g gen) pick(from ...string) string { return from[g.IntN(len(from))] }
func (g gen) one(n int) bool             { return g.IntN(n) == 0 }

func (g gen) some(n int, from ...string) []string {
	var s []string
	for range g.IntN(n + 1) {
		s = append(s, g.pick(from...))
	}
	return s
}

var (
	userNames = []string{"alice", "bob", "system:node:n1", "system:node:n2", "system:node:", "system:serviceaccount:a:x", "system:serviceaccount:b:x"}
	groups    = []string{"dev", "system:nodes", "system:authenticated"}
	resources = []string{"pods", "secrets", "configmaps", "nodes", "events", "services", "endpoints", "persistentvolumeclaims", "persistentvolumes", "serviceaccounts"}
	elsewhere = []string{"resource.k8s.io resourceclaims", "resource.k8s.io resourceslices", "storage.k8s.io volumeattachments", "storage.k8s.io csinodes", "storage.k8s.io csidrivers",
		"coordination.k8s.io leases", "node.k8s.io runtimeclasses", "certificates.k8s.io certificatesigningrequests", "authentication.k8s.io tokenreviews", "authorization.k8s.io subjectaccessreviews", "apps deployments"}
	verbsAsked = []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind"}
	namesAsked = []string{"", "x", "y", "z", "n1", "n2", "x-v0", "y-v1"}
)

func (g gen) rules() []rbacv1.PolicyRule {
	var rules []rbacv1.PolicyRule
	for range 1 + g.IntN(2) {
		r := rbacv1.PolicyRule{Verbs: append(g.some(2, append(verbsAsked, "*")...), "get")}
		if g.one(4) {
			r.NonResourceURLs = g.some(2, "*", "/metrics", "/api/*", "/api")
		} else {
			r.APIGroups = append(g.some(1, "apps", "*", "coordination.k8s.io"), "")
			r.Resources = append(g.some(2, "pods", "*", "*/status", "pods/log", "*/token", "deployments"), g.pick(resources...))
			if g.one(2) {
				r.ResourceNames = g.some(2, "x", "y")
			}
		}
		rules = append(rules, r)
	}
	return rules
}

func (g gen) subjects() []rbacv1.Subject {
	var list []rbacv1.Subject
	for range 1 + g.IntN(2) {
		s := rbacv1.Subject{Kind: g.pick("User", "Group", "ServiceAccount"), Name: "x"}
		switch s.Kind {
		case "ServiceAccount":
			s.Namespace = g.pick("a", "b", "")
		case "Group":
			s.Name = g.pick(groups...)
		default:
			s.Name = g.pick(userNames...)
		}
		list = append(list, s)
	}
	return list
}

func (g gen) pod(meta metav1.ObjectMeta) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: meta}
	p.Spec.NodeName, p.Spec.ServiceAccountName = g.pick("", "n1", "n2"), g.pick("", "x", "y")
	if g.one(3) {
		p.Annotations = map[string]string{"kubernetes.io/config.mirror": "m"}
	}
	for _, n := range g.some(1, "x", "y") {
		p.Spec.ImagePullSecrets = append(p.Spec.ImagePullSecrets, corev1.LocalObjectReference{Name: n})
	}
	for _, n := range g.some(1, "x", "y") {
		p.Spec.ResourceClaims = append(p.Spec.ResourceClaims, corev1.PodResourceClaim{Name: "c", ResourceClaimName: &n})
	}
	c := corev1.Container{Name: "c"}
	for _, n := range g.some(1, "x", "y", "z") {
		ref := corev1.LocalObjectReference{Name: n}
		from := &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref}}
		if g.one(2) {
			from = &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref}}
		}
		c.Env = append(c.Env, corev1.EnvVar{Name: "e", ValueFrom: from})
	}
	if g.one(3) {
		p.Spec.InitContainers = []corev1.Container{c}
	} else {
		p.Spec.Containers = []corev1.Container{c}
	}
	for i, n := range g.some(3, "x", "y", "z") {
		v := corev1.Volume{Name: fmt.Sprint("v", i)}
		switch g.IntN(4) {
		case 0:
			v.Secret = &corev1.SecretVolumeSource{SecretName: n}
		case 1:
			v.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: n}}
		case 2:
			v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: n}
		default:
			v.Ephemeral = &corev1.EphemeralVolumeSource{}
		}
		p.Spec.Volumes = append(p.Spec.Volumes, v)
	}
	return p
}

// store is what the product keeps up to date by events.
type store struct {
	rules *rbac.Index
	graph *node.Graph
}

// index is what takes events.
type index interface {
	Set(any)
	Delete(any)
}

func put[T any](g gen, m map[string]T, key string, obj T, to index) {
	was, there := m[key]
	switch {
	case there && g.one(3):
		delete(m, key)
		to.Delete(was)
	default:
		m[key] = obj
		to.Set(obj)
	}
}

// change writes or removes one object.
func (g gen) change(w *world, s store) {
	cluster := metav1.ObjectMeta{Name: g.pick("x", "y", "z")}
	local := metav1.ObjectMeta{Namespace: g.pick("a", "b"), Name: cluster.Name}
	key := local.Namespace + "/" + local.Name
	ref := rbacv1.RoleRef{Kind: g.pick("ClusterRole", "Role"), Name: g.pick("x", "y", "z")}
	switch g.IntN(10) {
	case 0:
		put(g, w.clusterRoles, cluster.Name, &rbacv1.ClusterRole{ObjectMeta: cluster, Rules: g.rules()}, s.rules)
	case 1:
		put(g, w.roles, key, &rbacv1.Role{ObjectMeta: local, Rules: g.rules()}, s.rules)
	case 2:
		put(g, w.clusterBindings, cluster.Name, &rbacv1.ClusterRoleBinding{ObjectMeta: cluster, RoleRef: ref, Subjects: g.subjects()}, s.rules)
	case 3:
		put(g, w.bindings, key, &rbacv1.RoleBinding{ObjectMeta: local, RoleRef: ref, Subjects: g.subjects()}, s.rules)
	case 4:
		v := &corev1.PersistentVolume{ObjectMeta: cluster}
		v.Spec.CSI = &corev1.CSIPersistentVolumeSource{}
		if g.one(2) {
			v.Spec.CSI.NodePublishSecretRef = &corev1.SecretReference{Namespace: g.pick("", "a", "b"), Name: g.pick("x", "y", "z")}
		}
		if !g.one(4) {
			v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: g.pick("a", "b"), Name: g.pick("x", "y", "z", "x-v0")}
		}
		put(g, w.volumes, cluster.Name, v, s.graph)
	case 5:
		put(g, w.attachments, cluster.Name, &storagev1.VolumeAttachment{ObjectMeta: cluster, Spec: storagev1.VolumeAttachmentSpec{NodeName: g.pick("n1", "n2")}}, s.graph)
	case 6:
		n := g.pick("n1", "n2")
		o := &resourcev1.ResourceSlice{ObjectMeta: cluster}
		if !g.one(3) {
			o.Spec.NodeName = &n
		}
		put(g, w.slices, cluster.Name, o, s.graph)
	default:
		put(g, w.pods, key, g.pod(local), s.graph)
	}
}

func (g gen) question() *auth.Attributes {
	a := &auth.Attributes{User: &auth.User{Name: g.pick(userNames...), Groups: g.some(2, groups...)}, Verb: g.pick(verbsAsked...)}
	if strings.HasPrefix(a.User.Name, "system:node:") && !g.one(8) {
		a.User.Groups = append(a.User.Groups, "system:nodes")
	}
	if g.one(3) {
		// What roles are about most.
		a.User, a.Verb, a.IsResource = &auth.User{Name: g.pick("alice", "bob", "system:serviceaccount:a:x"), Groups: g.some(1, "dev")}, "get", true
		a.Resource, a.Namespace, a.Name = g.pick(resources...), g.pick("", "a", "b"), g.pick("x", "y", "z")
		a.Subresource = g.pick("", "", "log", "status")
		return a
	}
	if g.one(2) {
		// What nodes ask for most, and where most can go wrong.
		a.User = &auth.User{Name: g.pick("system:node:n1", "system:node:n2"), Groups: []string{"system:nodes"}}
		a.Verb, a.IsResource, a.Resource = "get", true, g.pick("pods", "secrets", "configmaps", "persistentvolumeclaims", "persistentvolumes", "serviceaccounts")
		a.Namespace, a.Name = g.pick("a", "b"), g.pick("x", "y", "z", "x-v0")
		return a
	}
	if g.one(60) {
		a.User.Groups = append(a.User.Groups, "system:masters")
	}
	if g.one(8) {
		a.Path = g.pick("/metrics", "/api", "/api/v1", "/")
		return a
	}
	a.IsResource, a.Version = true, "v1"
	a.Resource, a.Namespace, a.Name = g.pick(resources...), g.pick("", "a", "b", "kube-node-lease"), g.pick(namesAsked...)
	if g.one(3) {
		a.Group, a.Resource, _ = strings.Cut(g.pick(elsewhere...), " ")
	}
	if g.one(4) {
		a.Subresource = g.pick("status", "log", "token", "eviction")
	}
	if g.one(4) {
		a.Fields = fields.ParseSelectorOrDie(g.pick("metadata.name", "spec.nodeName") + g.pick("=", "==", "!=") + g.pick("n1", "n2")).Requirements()
	}
	return a
}

// file writes the chain as a configuration.
func (w *world) file(hooks map[string]string) string {
	var list []string
	for _, l := range w.chain {
		if l.kind != "Webhook" {
			list = append(list, mode(l.kind))
			continue
		}
		policy, condition := "NoOpinion", ""
		if l.closed {
			policy = "Deny"
		}
		if l.only != "" {
			condition = fmt.Sprintf("    matchConditions: [{expression: \"request.resourceAttributes.namespace == '%s'\"}]\n", l.only)
		}
		list = append(list, hook(l.name, hooks[l.name], policy, condition))
	}
	return authorization(list...)
}

func (g gen) chain() []link {
	chain := []link{{kind: "Node"}, {kind: "RBAC"}}
	for _, name := range []string{"hook1", "hook2"} {
		if g.one(2) {
			l := link{kind: "Webhook", name: name, closed: g.one(2)}
			if g.one(2) {
				l.only = "a"
			}
			chain = append(chain, l)
		}
	}
	g.Shuffle(len(chain), func(i, j int) { chain[i], chain[j] = chain[j], chain[i] })
	return chain[g.IntN(2):]
}

// Every decision of the whole chain is that of the oracle, over random objects,
// changes of them, chains and questions.
func TestEveryDecisionAgainstOracle(t *testing.T) {
	t.Parallel()
	hooks := map[string]string{}
	for _, name := range []string{"hook1", "hook2"} {
		hooks[name] = authtest.Webhook(t, func(r *authorizationv1.SubjectAccessReview) int {
			res, path := r.Spec.ResourceAttributes, r.Spec.NonResourceAttributes
			if res == nil {
				res = &authorizationv1.ResourceAttributes{Verb: path.Verb}
			}
			if path == nil {
				path = &authorizationv1.NonResourceAttributes{}
			}
			switch verdict(name, r.Spec.User, res.Verb, path.Path, res.Resource, res.Namespace, res.Name) {
			case 0:
				r.Status.Allowed = true
			case 1:
				r.Status.Denied = true
			case 2:
				return http.StatusBadRequest
			}
			return 0
		})
	}
	for seed := range uint64(16) {
		g := gen{rand.New(rand.NewPCG(seed, 11))}
		w := &world{
			map[string]*rbacv1.ClusterRole{}, map[string]*rbacv1.Role{}, map[string]*rbacv1.ClusterRoleBinding{}, map[string]*rbacv1.RoleBinding{},
			map[string]*corev1.Pod{}, map[string]*corev1.PersistentVolume{}, map[string]*storagev1.VolumeAttachment{}, map[string]*resourcev1.ResourceSlice{}, g.chain(),
		}
		s := store{rbac.New(), node.NewGraph()}
		z, err := configuration.OpenAuthorization(t.Context(), configuration.AuthorizationOptions{
			File: file(t, w.file(hooks)), RBAC: s.rules, Node: node.New(s.graph, bootstrap.NodeRules(), nil),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		got := map[auth.Decision]int{}
		for step := range 80 {
			g.change(w, s)
			for range 25 {
				a := g.question()
				want := w.decide(a)
				d, reason, err := z.Authorize(t.Context(), a)
				if d != want.Decision || (err != nil) != want.failed {
					t.Fatalf("seed %d step %d, %+v: %+v of %+v: %v %q %v; the oracle says %+v", seed, step, w.chain, *a, *a.User, d, reason, err, want)
				}
				got[d]++
			}
		}
		if got[auth.Allow] == 0 || got[auth.NoOpinion] == 0 {
			t.Errorf("seed %d: the questions are of no use: %v", seed, got)
		}
	}
}
