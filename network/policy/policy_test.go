package policy

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"proa/apiserver/apitest"
	"proa/node/pod"
)

// node is an enforcer on a real API server and a fake kernel.
type node struct {
	*Enforcer
	t      *testing.T
	env    *apitest.Env
	kernel *kernel
}

func newNode(t *testing.T) *node {
	t.Helper()
	env := apitest.Start(t)
	k := newKernel()
	shared := informers.NewSharedInformerFactoryWithOptions(env.Admin, 0, informers.WithTransform(Trim))
	e, err := newEnforcer(Config{
		Informers: shared, NodeName: "here", DNS: netip.MustParseAddr("10.43.0.10"), Table: DefaultTable, Log: slog.New(slog.DiscardHandler),
	}, k.places())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		shared.Shutdown()
	})
	return &node{Enforcer: e, t: t, env: env, kernel: k}
}

// pod makes a pod that is bound to a node and has no address yet.
func (n *node) pod(name, on string, change func(*v1.Pod)) *v1.Pod {
	n.t.Helper()
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{"app": name}},
		Spec:       v1.PodSpec{NodeName: on, Containers: []v1.Container{{Name: "c", Image: "i"}}},
	}
	if change != nil {
		change(p)
	}
	p, err := n.env.Admin.CoreV1().Pods(p.Namespace).Create(n.t.Context(), p, metav1.CreateOptions{})
	if err != nil {
		n.t.Fatal(err)
	}
	return p
}

// status writes a pod's status, whatever it was.
func (n *node) status(p *v1.Pod, phase v1.PodPhase, ip string) {
	n.t.Helper()
	p = p.DeepCopy()
	p.ResourceVersion = ""
	p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = phase, ip, []v1.PodIP{{IP: ip}}
	if _, err := n.env.Admin.CoreV1().Pods(p.Namespace).UpdateStatus(n.t.Context(), p, metav1.UpdateOptions{}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) delete(p *v1.Pod) {
	n.t.Helper()
	if err := n.env.Admin.CoreV1().Pods(p.Namespace).Delete(n.t.Context(), p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) policy(name string, spec networkingv1.NetworkPolicySpec) {
	n.t.Helper()
	np := &networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
	if _, err := n.env.Admin.NetworkingV1().NetworkPolicies("default").Create(n.t.Context(), np, metav1.CreateOptions{}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) admitted(p *v1.Pod, ip string) {
	n.t.Helper()
	if err := n.Admit(n.t.Context(), p, []string{ip}); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) passes(hook, from, to string) bool {
	return n.kernel.passes(hook, packet{netip.MustParseAddr(from), netip.MustParseAddr(to), "tcp", 80})
}

// until waits for transactions until a packet passes, or does not any more.
func (n *node) until(want bool, from, to string) {
	n.t.Helper()
	for n.passes("forward", from, to) != want {
		select {
		case <-n.kernel.ran:
		case <-n.t.Context().Done():
			n.t.Fatalf("from %s to %s: it does not become %v", from, to, want)
		}
	}
}

func selecting(app string) metav1.LabelSelector {
	return metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}
}

const outside = "192.0.2.9"

// A pod is isolated when Admit returns, though the API does not know its address.
func TestAdmit(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	early := n.pod("early", "here", nil)
	n.admitted(early, "10.42.0.2")
	if n.kernel.present() != nil || n.source.complete {
		t.Error("without a policy there is a table, or pods are followed")
	}
	n.policy("deny", networkingv1.NetworkPolicySpec{PodSelector: selecting("web")})
	n.policy("early", networkingv1.NetworkPolicySpec{PodSelector: selecting("early")})
	n.until(false, outside, "10.42.0.2") // though it was admitted before there were policies

	web := n.pod("web", "here", nil)
	n.admitted(web, "10.42.0.3")
	if n.passes("forward", outside, "10.42.0.3") {
		t.Error("a packet reaches the pod before its first container starts")
	}
	if !n.passes("forward", "10.42.0.3", outside) {
		t.Error("a pod that is not isolated that way cannot send")
	}
	// The address goes to a pod that nothing isolates, before the API tells of it.
	other := n.pod("other", "here", nil)
	n.admitted(other, "10.42.0.3")
	if !n.passes("forward", outside, "10.42.0.3") {
		t.Error("a pod is isolated as the one that had its address before")
	}
	n.status(web, v1.PodRunning, "10.42.0.3") // late
	n.admitted(early, "10.42.0.2")
	if !n.passes("forward", outside, "10.42.0.3") {
		t.Error("the address went back to the pod that had it before")
	}
	n.delete(web)
	n.delete(early)
	n.until(true, outside, "10.42.0.2")
	if n.kernel.present() != nil {
		t.Errorf("nothing is isolated any more, and there is a table:\n%s", n.kernel.dump())
	}
	host := n.pod("host", "here", func(p *v1.Pod) { p.Spec.HostNetwork = true })
	n.admitted(host, "192.0.2.1")
}

// Peers on other nodes become known by their status, and are none when they have
// ended.
func TestPeers(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.policy("web", networkingv1.NetworkPolicySpec{
		PodSelector: selecting("web"),
		Ingress:     []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: new(selecting("client"))}}}},
	})
	n.admitted(n.pod("web", "here", nil), "10.42.0.3")
	client := n.pod("client", "there", nil)
	n.until(false, "10.42.1.2", "10.42.0.3") // whom nobody knows yet
	n.status(client, v1.PodRunning, "10.42.1.2")
	n.until(true, "10.42.1.2", "10.42.0.3")
	n.status(client, v1.PodSucceeded, "10.42.1.2")
	n.until(false, "10.42.1.2", "10.42.0.3")
}

// The cluster's DNS is what rules for it say, though it is no pod.
func TestDNS(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.policy("web", networkingv1.NetworkPolicySpec{
		PodSelector: selecting("web"), PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeEgress},
		Egress: []networkingv1.NetworkPolicyEgressRule{{To: []networkingv1.NetworkPolicyPeer{{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{v1.LabelMetadataName: metav1.NamespaceSystem}},
			PodSelector:       &metav1.LabelSelector{MatchLabels: map[string]string{"k8s-app": "kube-dns"}},
		}}}},
	})
	if _, err := n.env.Admin.CoreV1().Namespaces().Create(t.Context(), &v1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: metav1.NamespaceSystem, Labels: map[string]string{v1.LabelMetadataName: metav1.NamespaceSystem},
	}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	n.admitted(n.pod("web", "here", nil), "10.42.0.3")
	n.until(false, "10.42.0.3", outside)
	n.until(true, "10.42.0.3", "10.43.0.10")
	if !n.passes("input", "10.42.0.3", "10.43.0.10") || n.passes("input", "10.42.0.3", "192.0.2.1") {
		t.Error("of its node an isolated pod reaches more, or less, than its DNS")
	}
}

// A static pod is what its mirror says, and stays when that goes.
func TestStaticPod(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.policy("deny", networkingv1.NetworkPolicySpec{PodSelector: selecting("static")})
	mirror := n.pod("static", "here", func(p *v1.Pod) { p.Annotations = map[string]string{v1.MirrorPodAnnotationKey: "hash"} })
	static := mirror.DeepCopy()
	static.UID = "hash"
	n.admitted(static, "10.42.0.3")
	n.until(false, outside, "10.42.0.3")
	n.delete(mirror)
	web := n.pod("web", "here", nil)
	n.admitted(web, "10.42.0.4")
	n.admitted(web, "10.42.0.5") // two transactions later
	if n.passes("forward", outside, "10.42.0.3") {
		t.Error("a static pod is not isolated without its mirror")
	}
}

// While the kernel refuses the rules a pod waits, and is let in when it takes
// them.
func TestAdmitWaits(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.policy("deny", networkingv1.NetworkPolicySpec{PodSelector: selecting("web")})
	first := n.pod("first", "here", func(p *v1.Pod) { p.Labels["app"] = "web" })
	n.admitted(first, "10.42.0.2")
	n.until(false, outside, "10.42.0.2") // the policy is known
	n.kernel.refuse(errors.New("refused"))
	web := n.pod("web", "here", nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Admit(ctx, web, []string{"10.42.0.3"}) }()
	<-n.kernel.ran
	<-n.kernel.ran // again, after a pause
	select {
	case err := <-done:
		t.Fatalf("the pod was let in: %v", err)
	default:
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("a pod that ends is told %v", err)
	}
	n.kernel.refuse(nil)
	n.admitted(web, "10.42.0.3")
	if n.passes("forward", outside, "10.42.0.3") {
		t.Error("the pod was let in without rules")
	}
}

// A pod whose policies cannot be read is not let in, and told why.
func TestAdmitIsLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		client.PrependReactor("list", "networkpolicies", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(networkingv1.Resource("networkpolicies"), "", errors.New("no rule allows it"))
		})
		shared := informers.NewSharedInformerFactory(client, 0)
		e, err := newEnforcer(Config{Informers: shared, NodeName: "here", Log: slog.New(slog.DiscardHandler)}, newKernel().places())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"}}
		start := time.Now()
		err = e.Admit(ctx, p, []string{"10.42.0.3"})
		if err == nil || !strings.Contains(err.Error(), "no rule allows it") || time.Since(start) != admissionPatience {
			t.Errorf("after %v the pod is told %v", time.Since(start), err)
		}
		// A static pod does not depend on the API server.
		p.Annotations = map[string]string{pod.SourceAnnotation: "file"}
		start = time.Now()
		if err := e.Admit(ctx, p, []string{"10.42.0.3"}); err != nil || time.Since(start) != staticPatience {
			t.Errorf("after %v the static pod is told %v", time.Since(start), err)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		shared.Shutdown()
	})
}
