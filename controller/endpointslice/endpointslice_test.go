package endpointslice

import (
	"fmt"
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

// The endpoints of a service follow its pods and its ports, whichever write fails.
func TestEndpointSlices(t *testing.T) {
	t.Parallel()
	controllertest.Sweep(t, func(t *testing.T, run controllertest.Runner) {
		env, ctx := apitest.Start(t), t.Context()
		pods, services := env.Admin.CoreV1().Pods("default"), env.Admin.CoreV1().Services("default")
		labels := map[string]string{"app": "web"}
		add := func(name, ip string) {
			t.Helper()
			p, err := pods.Create(ctx, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
				Spec: v1.PodSpec{NodeName: "n", Containers: []v1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			p.Status.Phase, p.Status.PodIP, p.Status.PodIPs = v1.PodRunning, ip, []v1.PodIP{{IP: ip}}
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
			if _, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		until := func(want ...string) {
			t.Helper()
			controllertest.Until(t, func() string {
				list, err := env.Admin.DiscoveryV1().EndpointSlices("default").List(ctx, metav1.ListOptions{LabelSelector: "kubernetes.io/service-name=web"})
				if err != nil {
					return err.Error()
				}
				got := []string{}
				for _, s := range list.Items {
					for _, e := range s.Endpoints {
						got = append(got, fmt.Sprintf("%s:%d %s", e.Addresses[0], *s.Ports[0].Port, e.TargetRef.Name))
					}
				}
				slices.Sort(got)
				if !slices.Equal(got, want) || len(list.Items) != 1 {
					return fmt.Sprintf("%q in %d slices, want %q in one", got, len(list.Items), want)
				}
				return ""
			})
		}
		run(t, env, clock.RealClock{}, Definition())
		add("one", "10.0.0.1")
		if _, err := services.Create(ctx, &v1.Service{ObjectMeta: metav1.ObjectMeta{Name: "web"},
			Spec: v1.ServiceSpec{Selector: labels, Ports: []v1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		until("10.0.0.1:80 one")
		add("two", "10.0.0.2")
		until("10.0.0.1:80 one", "10.0.0.2:80 two")
		if _, err := services.Patch(ctx, "web", types.StrategicMergePatchType, []byte(`{"spec":{"ports":[{"port":80,"targetPort":8080}]}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		until("10.0.0.1:8080 one", "10.0.0.2:8080 two")
		if err := pods.Delete(ctx, "one", metav1.DeleteOptions{GracePeriodSeconds: new(int64)}); err != nil {
			t.Fatal(err)
		}
		until("10.0.0.2:8080 two")
	})
}
