package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/client-go/tools/cache"

	"proa/auth"
)

// obvious says which objects a node needs by going through all that there is.
type obvious struct {
	pods    map[string]*corev1.Pod
	volumes map[string]*corev1.PersistentVolume
}

func (w *obvious) needs(node string, o object) bool {
	claims := map[object]bool{}
	for _, p := range w.pods {
		if p.Spec.NodeName != node {
			continue
		}
		if o == (object{pod, p.Namespace, p.Name}) {
			return true
		}
		if p.Annotations[corev1.MirrorPodAnnotationKey] != "" {
			continue
		}
		if o == (object{account, p.Namespace, p.Spec.ServiceAccountName}) && o.name != "" {
			return true
		}
		for _, v := range p.Spec.Volumes {
			switch {
			case v.Secret != nil && o == object{secret, p.Namespace, v.Secret.SecretName},
				v.ConfigMap != nil && o == object{configMap, p.Namespace, v.ConfigMap.Name},
				v.PersistentVolumeClaim != nil && o == object{claim, p.Namespace, v.PersistentVolumeClaim.ClaimName}:
				return true
			}
			if v.PersistentVolumeClaim != nil {
				claims[object{claim, p.Namespace, v.PersistentVolumeClaim.ClaimName}] = true
			}
		}
	}
	for _, v := range w.volumes {
		if v.Spec.ClaimRef == nil || !claims[object{claim, v.Spec.ClaimRef.Namespace, v.Spec.ClaimRef.Name}] {
			continue
		}
		s := v.Spec.CSI.NodeStageSecretRef
		if o == (object{volume, "", v.Name}) || o == (object{secret, s.Namespace, s.Name}) {
			return true
		}
	}
	return false
}

func TestGraphAgainstOracle(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		r := rand.New(rand.NewPCG(seed, 3))
		pick := func(s ...string) string { return s[r.IntN(len(s))] }
		w := &obvious{map[string]*corev1.Pod{}, map[string]*corev1.PersistentVolume{}}
		g := NewGraph()
		h := g.Handler()
		for step := range 300 {
			if r.IntN(4) > 0 {
				p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: pick("a", "b"), Name: pick("1", "2", "3")}}
				p.Spec.NodeName, p.Spec.ServiceAccountName = pick("", "x", "y"), pick("", "s", "t")
				if r.IntN(5) == 0 {
					p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "m"}
				}
				for range r.IntN(4) {
					var v corev1.VolumeSource
					switch r.IntN(3) {
					case 0:
						v.Secret = &corev1.SecretVolumeSource{SecretName: pick("s", "t")}
					case 1:
						v.ConfigMap = &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: pick("s", "t")}}
					case 2:
						v.PersistentVolumeClaim = &corev1.PersistentVolumeClaimVolumeSource{ClaimName: pick("s", "t")}
					}
					p.Spec.Volumes = append(p.Spec.Volumes, corev1.Volume{VolumeSource: v})
				}
				key := p.Namespace + "/" + p.Name
				switch was := w.pods[key]; {
				case was != nil && r.IntN(3) == 0:
					delete(w.pods, key)
					h.OnDelete(cache.DeletedFinalStateUnknown{Obj: was})
				case was != nil:
					w.pods[key] = p
					h.OnUpdate(was, p)
				default:
					w.pods[key] = p
					h.OnAdd(p, false)
				}
			} else {
				v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: pick("v1", "v2")}}
				v.Spec.CSI = &corev1.CSIPersistentVolumeSource{NodeStageSecretRef: &corev1.SecretReference{Namespace: pick("a", "b"), Name: pick("s", "u")}}
				if r.IntN(4) > 0 {
					v.Spec.ClaimRef = &corev1.ObjectReference{Namespace: pick("a", "b"), Name: pick("s", "t")}
				}
				if r.IntN(3) == 0 {
					delete(w.volumes, v.Name)
					g.Delete(v)
				} else {
					w.volumes[v.Name] = v
					g.Set(v)
				}
			}
			for range 20 {
				o := object{kind(r.IntN(int(attachment))), pick("a", "b"), pick("1", "2", "s", "t", "u")}
				if o.kind == volume {
					o.namespace, o.name = "", pick("v1", "v2")
				}
				n := pick("x", "y")
				if got, want := g.has(n, o), w.needs(n, o); got != want {
					t.Fatalf("seed %d step %d: node %s, %+v: got %v, want %v", seed, step, n, o, got, want)
				}
			}
		}
		for _, p := range w.pods {
			g.Delete(p)
		}
		for _, v := range w.volumes {
			g.Delete(v)
		}
		if len(g.pods)+len(g.needs)+len(g.volumes)+len(g.bySecret) != 0 {
			t.Fatalf("seed %d: something is left: %+v", seed, g)
		}
	}
}

func TestAuthorize(t *testing.T) {
	t.Parallel()
	g := NewGraph()
	g.Set(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"},
		Spec: corev1.PodSpec{
			NodeName: "n1", ServiceAccountName: "sa",
			Containers: []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}}}}},
		},
	})
	g.Set(&storagev1.VolumeAttachment{ObjectMeta: metav1.ObjectMeta{Name: "va"}, Spec: storagev1.VolumeAttachmentSpec{NodeName: "n1"}})
	z := New(g, []rbacv1.PolicyRule{{Verbs: []string{"list"}, APIGroups: []string{""}, Resources: []string{"services", "secrets"}}}, nil)
	q := func(verb, resource, ns, name string, more ...func(*auth.Attributes)) auth.Attributes {
		a := auth.Attributes{IsResource: true, Verb: verb, Resource: resource, Namespace: ns, Name: name}
		for _, f := range more {
			f(&a)
		}
		return a
	}
	group := func(s string) func(*auth.Attributes) { return func(a *auth.Attributes) { a.Group = s } }
	sub := func(s string) func(*auth.Attributes) { return func(a *auth.Attributes) { a.Subresource = s } }
	field := func(k, v string) func(*auth.Attributes) {
		return func(a *auth.Attributes) {
			a.Fields = fields.Requirements{{Field: k, Value: v, Operator: selection.Equals}}
		}
	}
	tests := []struct {
		a      auth.Attributes
		ok     bool
		reason string
	}{
		{q("get", "secrets", "a", "s"), true, ""},
		{q("watch", "secrets", "a", "s"), true, ""},
		{q("list", "secrets", "a", ""), false, "No Object name found"},
		{q("list", "secrets", "", ""), false, "can only read namespaced object of this type"},
		{q("get", "secrets", "b", "s"), false, "no relationship found between node 'n1' and this object"},
		{q("update", "secrets", "a", "s"), false, "can only read resources of this type"},
		{q("get", "configmaps", "a", "s"), false, "no relationship found between node 'n1' and this object"},
		{q("create", "serviceaccounts", "a", "sa", sub("token")), true, ""},
		{q("create", "serviceaccounts", "a", "other", sub("token")), false, "no relationship found between node 'n1' and this object"},
		{q("get", "serviceaccounts", "a", "sa"), true, ""},
		{q("get", "volumeattachments", "", "va", group("storage.k8s.io")), true, ""},
		{q("get", "nodes", "", "n1"), true, ""},
		{q("get", "nodes", "", "n2"), false, "node 'n1' cannot read 'n2', only its own Node object"},
		{q("watch", "nodes", "", "", field("metadata.name", "n1")), true, ""},
		{q("list", "nodes", "", ""), false, "node 'n1' cannot read '', only its own Node object"},
		{q("delete", "nodes", "", "n1"), false, ""},
		{q("patch", "nodes", "", "n1", sub("status")), true, ""},
		{q("get", "pods", "a", "p"), true, ""},
		{q("get", "pods", "a", "q"), false, "no relationship found between node 'n1' and this object"},
		{q("list", "pods", "", "", field("spec.nodeName", "n1")), true, ""},
		{q("list", "pods", "", "", field("spec.nodeName", "n2")), false, "can only list/watch pods with spec.nodeName field selector"},
		{q("create", "pods", "a", "", sub("exec")), false, ""},
		{q("update", "leases", "kube-node-lease", "n1", group("coordination.k8s.io")), true, ""},
		{q("update", "leases", "kube-node-lease", "n2", group("coordination.k8s.io")), false, "can only access node lease with the same name as the requesting node"},
		{q("get", "leases", "kube-system", "n1", group("coordination.k8s.io")), false, `can only access leases in the "kube-node-lease" system namespace`},
		{q("get", "csinodes", "", "n2", group("storage.k8s.io")), false, "can only access CSINode with the same name as the requesting node"},
		{q("list", "services", "", ""), true, ""},
		{q("list", "endpoints", "", ""), false, ""},
	}
	for _, test := range tests {
		test.a.User = &auth.User{Name: "system:node:n1", Groups: []string{auth.GroupNodes}}
		d, reason, err := z.Authorize(t.Context(), &test.a)
		if (d == auth.Allow) != test.ok || reason != test.reason || err != nil {
			t.Errorf("%s %s/%s %s/%s: %v %q %v", test.a.Verb, test.a.Resource, test.a.Subresource, test.a.Namespace, test.a.Name, d, reason, err)
		}
	}
	// Others are not its business, nor nodes without the group.
	for _, u := range []*auth.User{{Name: "system:node:n1"}, {Name: "n1", Groups: []string{auth.GroupNodes}}, nil} {
		a := q("get", "secrets", "a", "s")
		a.User = u
		if d, _, _ := z.Authorize(t.Context(), &a); d != auth.NoOpinion {
			t.Errorf("%+v: %v", u, d)
		}
	}
}

// A node asks for what its pod needs before the graph has heard of the pod.
func TestPodsAheadOfTheGraph(t *testing.T) {
	t.Parallel()
	g := NewGraph()
	g.Set(&corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "v"},
		Spec:       corev1.PersistentVolumeSpec{ClaimRef: &corev1.ObjectReference{Namespace: "a", Name: "c"}},
	})
	asked := 0
	z := New(g, nil, func(_ context.Context, node string) ([]*corev1.Pod, error) {
		asked++
		if node == "broken" {
			return nil, errors.New("cannot be read")
		}
		if node != "n1" {
			return nil, nil
		}
		return []*corev1.Pod{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "p"},
			Spec: corev1.PodSpec{NodeName: "n1", ServiceAccountName: "default", Volumes: []corev1.Volume{
				{VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}},
			}},
		}}, nil
	})
	ask := func(node, verb, resource, sub, namespace, name string) (auth.Decision, error) {
		d, _, err := z.Authorize(t.Context(), &auth.Attributes{
			User:       &auth.User{Name: auth.NodePrefix + node, Groups: []string{auth.GroupNodes}},
			IsResource: true, Verb: verb, Resource: resource, Subresource: sub, Namespace: namespace, Name: name,
		})
		return d, err
	}
	for _, c := range []struct {
		node, verb, resource, sub, namespace, name string
		want                                       auth.Decision
	}{
		{"n1", "create", "serviceaccounts", "token", "a", "default", auth.Allow},
		{"n1", "get", "persistentvolumes", "", "", "v", auth.Allow},
		{"n1", "get", "secrets", "", "a", "default", auth.NoOpinion},
		{"n2", "create", "serviceaccounts", "token", "a", "default", auth.NoOpinion},
	} {
		if d, err := ask(c.node, c.verb, c.resource, c.sub, c.namespace, c.name); d != c.want || err != nil {
			t.Errorf("%+v: %v %v", c, d, err)
		}
	}
	if d, err := ask("broken", "get", "secrets", "", "a", "s"); d == auth.Allow || err == nil {
		t.Errorf("without pods: %v %v", d, err)
	}
	asked = 0
	if _, err := ask("n1", "list", "secrets", "", "", ""); err != nil || asked != 0 {
		t.Errorf("a refusal that no pod could change reads pods: %d %v", asked, err)
	}
}

func BenchmarkSecret(b *testing.B) {
	g := NewGraph()
	for i := range 1000 {
		g.Set(&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: fmt.Sprint(i)},
			Spec: corev1.PodSpec{NodeName: fmt.Sprint(i % 10), Volumes: []corev1.Volume{
				{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: fmt.Sprint(i)}}},
			}},
		})
	}
	z := New(g, nil, nil)
	a := &auth.Attributes{
		User:       &auth.User{Name: "system:node:7", Groups: []string{auth.GroupNodes}},
		IsResource: true, Verb: "get", Resource: "secrets", Namespace: "a", Name: "7",
	}
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		if d, _, _ := z.Authorize(ctx, a); d != auth.Allow {
			b.Fatal("denied")
		}
	}
}
