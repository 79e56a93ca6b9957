package ingressstatus_test

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
	"proa/controller/ingressstatus"
	"proa/network/ingress"
)

// TestFollows: addresses are those of the nodes that serve, and are written on
// Ingresses of the own class only, whichever write fails.
func TestFollows(t *testing.T) {
	t.Parallel()
	controllertest.Sweep(t, func(t *testing.T, run controllertest.Runner) {
		env := apitest.Start(t)
		api := env.Admin
		run(t, env, clock.RealClock{}, ingressstatus.Definition())
		class(t, api, "proa", ingress.Controller)
		class(t, api, "other", "example.com/other")
		create(t, api, "mine", "proa")
		create(t, api, "theirs", "other")
		setNode(t, api, "n2", "192.0.2.2", "80,443", v1.ConditionTrue)
		until(t, api, "mine", "[192.0.2.2]")
		setNode(t, api, "n1", "192.0.2.1", "80", v1.ConditionTrue)
		until(t, api, "mine", "[192.0.2.1 192.0.2.2]")
		create(t, api, "second", "proa")
		until(t, api, "second", "[192.0.2.1 192.0.2.2]")
		setNode(t, api, "n1", "192.0.2.1", "", v1.ConditionTrue)
		until(t, api, "mine", "[192.0.2.2]")
		setNode(t, api, "n2", "192.0.2.2", "80,443", v1.ConditionUnknown)
		until(t, api, "mine", "[]")
		until(t, api, "second", "[]")
		until(t, api, "theirs", "[]")
	})
}

func class(t *testing.T, api kubernetes.Interface, name, controller string) {
	t.Helper()
	c := &networkingv1.IngressClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressClassSpec{Controller: controller}}
	if _, err := api.NetworkingV1().IngressClasses().Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, api kubernetes.Interface, name, class string) {
	t.Helper()
	in := &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: networkingv1.IngressSpec{
		IngressClassName: ptr.To(class),
		DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{
			Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}},
	}}
	if _, err := api.NetworkingV1().Ingresses("default").Create(t.Context(), in, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func setNode(t *testing.T, api kubernetes.Interface, name, address, ports string, ready v1.ConditionStatus) {
	t.Helper()
	// It may be there.
	_, _ = api.CoreV1().Nodes().Create(t.Context(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	for sub, patch := range map[string]string{
		"":       fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, ingress.Announcement, ports),
		"status": fmt.Sprintf(`{"status":{"addresses":[{"type":"InternalIP","address":%q}],"conditions":[{"type":"Ready","status":%q}]}}`, address, ready),
	} {
		var at []string
		if sub != "" {
			at = []string{sub}
		}
		if _, err := api.CoreV1().Nodes().Patch(t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, at...); err != nil {
			t.Fatal(err)
		}
	}
}

func until(t *testing.T, api kubernetes.Interface, name, want string) {
	t.Helper()
	controllertest.Until(t, func() string {
		in, err := api.NetworkingV1().Ingresses("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		has := []string{}
		for _, i := range in.Status.LoadBalancer.Ingress {
			has = append(has, i.IP)
		}
		if is := fmt.Sprint(has); is != want {
			return fmt.Sprintf("ingress %s has %s, want %s", name, is, want)
		}
		return ""
	})
}
