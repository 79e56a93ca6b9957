package loadbalancer_test

import (
	"fmt"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
	"proa/controller/loadbalancer"
)

// TestFollows: addresses come with a node, pass to the next service that wants the
// port, and go with the node.
func TestFollows(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	controllertest.Run(t, env, clock.RealClock{}, loadbalancer.Definition(6443))
	balance(t, env.Admin, "first", 80)
	setNode(t, env.Admin, "n1", "192.0.2.1", v1.ConditionTrue)
	until(t, env.Admin, "first", "[192.0.2.1]")
	balance(t, env.Admin, "second", 80)
	setNode(t, env.Admin, "n2", "192.0.2.2", v1.ConditionTrue)
	until(t, env.Admin, "first", "[192.0.2.1 192.0.2.2]")
	until(t, env.Admin, "second", "[]")
	if err := env.Admin.CoreV1().Services("default").Delete(t.Context(), "first", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, env.Admin, "second", "[192.0.2.1 192.0.2.2]")
	setNode(t, env.Admin, "n1", "192.0.2.1", v1.ConditionUnknown)
	until(t, env.Admin, "second", "[192.0.2.2]")
	setNode(t, env.Admin, "n2", "192.0.2.2", v1.ConditionFalse)
	until(t, env.Admin, "second", "[]")
}

func balance(t *testing.T, api kubernetes.Interface, name string, port int32) {
	t.Helper()
	s := &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}}
	s.Spec.Type, s.Spec.Ports = v1.ServiceTypeLoadBalancer, []v1.ServicePort{{Port: port}}
	if _, err := api.CoreV1().Services("default").Create(t.Context(), s, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func setNode(t *testing.T, api kubernetes.Interface, name, address string, ready v1.ConditionStatus) {
	t.Helper()
	if ready == v1.ConditionTrue {
		if _, err := api.CoreV1().Nodes().Create(t.Context(), &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	patch := fmt.Sprintf(`{"status":{"addresses":[{"type":"InternalIP","address":%q}],"conditions":[{"type":"Ready","status":%q}]}}`, address, ready)
	if _, err := api.CoreV1().Nodes().Patch(t.Context(), name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
}

func until(t *testing.T, api kubernetes.Interface, name, want string) {
	t.Helper()
	controllertest.Until(t, func() string {
		s, err := api.CoreV1().Services("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		has := []string{}
		for _, in := range s.Status.LoadBalancer.Ingress {
			has = append(has, in.IP)
		}
		if is := fmt.Sprint(has); is != want {
			return fmt.Sprintf("service %s has %s, want %s", name, is, want)
		}
		return ""
	})
}
