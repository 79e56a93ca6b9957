package standard_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"proa/admission/builtin"
	"proa/admission/priority"
	"proa/apiserver"
	"proa/apiserver/local"
	"proa/auth"
	"proa/auth/rbac/bootstrap"
	"proa/auth/standard"
	"proa/cache"
	"proa/cache/codec"
	"proa/pki"
	rows "proa/resource/builtin"
	"proa/store/memory"
)

// cluster is an API server with everything of this tree in place.
type cluster struct {
	*standard.Auth
	t       *testing.T
	pki     *pki.Authority
	handler http.Handler
	url     string
	admin   kubernetes.Interface
}

func start(t *testing.T) *cluster {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	st := memory.New(memory.Options{})
	t.Cleanup(func() { _ = st.Close() })
	hub := cache.NewHub(st, codec.Storage{}, cache.Options{})
	table := rows.Table()
	ca, err := pki.Open(t.TempDir(), clock.RealClock{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := standard.New(ctx, standard.Config{PKI: ca, Hub: hub, View: table.View()})
	if err != nil {
		t.Fatal(err)
	}
	chain, err := builtin.Chain(builtin.Config{Table: table, Hub: hub, Objects: a.Objects, Authorizer: a.Authorizer, Policy: a.Policy, Clock: clock.RealClock{}})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := ca.Leaf(pki.APIServer(""))
	if err != nil {
		t.Fatal(err)
	}
	server, err := apiserver.New(apiserver.Config{
		Table: table, Hub: hub, Authenticator: a.Authenticator, Authorizer: a.Authorizer, Admission: chain, TLS: ca.ServerTLS(leaf),
		DrainTimeout: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Drain)
	for _, run := range []func(context.Context) error{hub.Run, a.Run} {
		running.Go(func() {
			if err := run(ctx); err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
	c := &cluster{Auth: a, t: t, pki: ca, handler: server.Handler()}
	select {
	case <-a.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("the indexes are not ready")
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", ca.ServerTLS(leaf))
	if err != nil {
		t.Fatal(err)
	}
	wire := &http.Server{Handler: c.handler}
	running.Go(func() { _ = wire.Serve(ln) })
	t.Cleanup(func() { _ = wire.Close() })
	c.url = "https://" + ln.Addr().String()
	if c.admin, err = local.Clients(c.handler, &auth.User{Name: "admin", Groups: []string{auth.GroupMasters}}, "test"); err != nil {
		t.Fatal(err)
	}
	return c
}

// with is a client over the wire, with a certificate or a token.
func (c *cluster) with(spec *pki.Spec, token string) kubernetes.Interface {
	c.t.Helper()
	cfg := &restclient.Config{Host: c.url, BearerToken: token, TLSClientConfig: restclient.TLSClientConfig{CAData: c.pki.CA()}}
	if spec != nil {
		l, err := c.pki.Leaf(*spec)
		if err != nil {
			c.t.Fatal(err)
		}
		cfg.CertData, cfg.KeyData = l.PEM()
	}
	k, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	return k
}

// eventually waits for what follows a write by an event.
func (c *cluster) eventually(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("%s: never", what)
		}
	}
}

func TestFromCertificateToToken(t *testing.T) {
	t.Parallel()
	c, ctx := start(t), t.Context()
	o := metav1.CreateOptions{}

	// The default policy, the namespaces it needs and the priority classes.
	if err := bootstrap.Ensure(ctx, c.admin); err != nil {
		t.Fatal(err)
	}
	have, err := bootstrap.List(ctx, c.admin)
	if err != nil {
		t.Fatal(err)
	}
	if w := bootstrap.Plan(have, bootstrap.Default()); !w.Empty() {
		t.Errorf("still to write: %+v", w)
	}
	if err := priority.EnsureSystem(ctx, c.admin.SchedulingV1().PriorityClasses()); err != nil {
		t.Fatal(err)
	}

	// A client certificate of the scheduler may do what its role says.
	spec := pki.Scheduler()
	scheduler := c.with(&spec, "")
	c.eventually("the scheduler may list pods", func() bool {
		_, err := scheduler.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
		return err == nil
	})
	if _, err := scheduler.CoreV1().Secrets("").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the scheduler lists secrets: %v", err)
	}
	admin := pki.Admin()
	if _, err := c.with(&admin, "").CoreV1().Secrets("").List(ctx, metav1.ListOptions{}); err != nil {
		t.Error(err)
	}
	for name, k := range map[string]kubernetes.Interface{"nobody": c.with(nil, ""), "a bad token": c.with(nil, "x.y.z")} {
		if _, err := k.CoreV1().Pods("").List(ctx, metav1.ListOptions{}); !apierrors.IsUnauthorized(err) {
			t.Errorf("%s: %v", name, err)
		}
	}

	// A pod waits for the default account of its namespace, and gets a token
	// volume. Its account's token works until the pod is deleted.
	if _, err := c.admin.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "app"}}, o); err != nil {
		t.Fatal(err)
	}
	type made struct {
		pod *corev1.Pod
		err error
	}
	pods := make(chan made)
	go func() {
		p, err := c.admin.CoreV1().Pods("app").Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}, o)
		pods <- made{p, err}
	}()
	if _, err := c.admin.CoreV1().ServiceAccounts("app").Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, o); err != nil {
		t.Fatal(err)
	}
	m := <-pods
	if m.err != nil {
		t.Fatal(m.err)
	}
	pod := m.pod
	if len(pod.Spec.Volumes) != 1 || !strings.HasPrefix(pod.Spec.Volumes[0].Name, "kube-api-access-") || *pod.Spec.Priority != 0 || len(pod.Spec.Tolerations) != 2 {
		t.Errorf("pod %+v", pod.Spec)
	}
	seconds := int64(3607)
	tr, err := c.Requests.Create(ctx, "app", "default", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: &seconds, BoundObjectRef: &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: "p", UID: pod.UID},
	}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	sa := c.with(nil, tr.Status.Token)
	if _, err := sa.CoreV1().ConfigMaps("app").List(ctx, metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("without a role: %v", err)
	}
	if _, err := c.admin.RbacV1().RoleBindings("app").Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "view"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "default", Namespace: "app"}},
	}, o); err != nil {
		t.Fatal(err)
	}
	c.eventually("the account may view", func() bool {
		_, err := sa.CoreV1().ConfigMaps("app").List(ctx, metav1.ListOptions{})
		return err == nil
	})

	// The node reads what its pod needs, and another does not.
	n1, n2 := pki.Node("n1"), pki.Node("n2")
	c.eventually("the node gets its pod", func() bool {
		_, err := c.with(&n1, "").CoreV1().Pods("app").Get(ctx, "p", metav1.GetOptions{})
		return err == nil
	})
	if _, err := c.with(&n2, "").CoreV1().Pods("app").Get(ctx, "p", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("another node gets the pod: %v", err)
	}
	if _, err := c.with(&n1, "").CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n2"}}, o); !apierrors.IsForbidden(err) {
		t.Errorf("a node registers another: %v", err)
	}
	if _, err := c.with(&n1, "").CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}, o); err != nil {
		t.Errorf("a node registers: %v", err)
	}

	zero := int64(0)
	if err := c.admin.CoreV1().Pods("app").Delete(ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: &zero}); err != nil {
		t.Fatal(err)
	}
	c.eventually("the token ends with the pod", func() bool {
		_, err := sa.CoreV1().ConfigMaps("app").List(ctx, metav1.ListOptions{})
		return apierrors.IsUnauthorized(err)
	})

	// Nobody gives away what he does not have.
	edit, err := local.Clients(c.handler, &auth.User{Name: "system:serviceaccount:kube-system:service-account-controller", Groups: []string{auth.GroupAuthenticated}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.admin.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "x"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:aggregate-to-admin"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Name: "service-account-controller", Namespace: "kube-system"}},
	}, o); err != nil {
		t.Fatal(err)
	}
	c.eventually("a role of too much is refused for what it grants", func() bool {
		_, err := edit.RbacV1().Roles("app").Create(ctx, &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Name: "all"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}}},
		}, o)
		return err != nil && strings.Contains(err.Error(), "is attempting to grant RBAC permissions not currently held")
	})
}
