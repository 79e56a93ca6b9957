package nodelifecycle

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testingclock "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

// A node that falls silent is tainted and its pods are not ready; one that speaks
// again is as it was, whichever write fails.
func TestSilentNode(t *testing.T) {
	t.Parallel()
	controllertest.Sweep(t, func(t *testing.T, run controllertest.Runner) {
		env, ctx := apitest.Start(t, apitest.WithNamespaces("default", v1.NamespaceNodeLease)), t.Context()
		nodes, leases, pods := env.Admin.CoreV1().Nodes(), env.Admin.CoordinationV1().Leases(v1.NamespaceNodeLease), env.Admin.CoreV1().Pods("default")
		clock := testingclock.NewFakeClock(time.Now())
		beat := func(name string) {
			t.Helper()
			l, err := leases.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				l, err = leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name},
					Spec: coordinationv1.LeaseSpec{HolderIdentity: &name, LeaseDurationSeconds: ptr.To[int32](40)}}, metav1.CreateOptions{})
			}
			if err != nil {
				t.Fatal(err)
			}
			l.Spec.RenewTime = ptr.To(metav1.NewMicroTime(clock.Now()))
			if _, err := leases.Update(ctx, l, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		// speak writes a node's status as its agent does.
		speak := func(name string) {
			t.Helper()
			controllertest.Until(t, func() string {
				n, err := nodes.Get(ctx, name, metav1.GetOptions{})
				if err != nil {
					return err.Error()
				}
				n.Status.Conditions = []v1.NodeCondition{{Type: v1.NodeReady, Status: v1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: metav1.NewTime(clock.Now())}}
				if _, err = nodes.UpdateStatus(ctx, n, metav1.UpdateOptions{}); err != nil {
					return err.Error()
				}
				return ""
			})
			beat(name)
		}
		for _, name := range []string{"a", "b", "c"} {
			if _, err := nodes.Create(ctx, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			speak(name)
		}
		for _, name := range []string{"one", "two"} {
			p, err := pods.Create(ctx, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name},
				Spec: v1.PodSpec{NodeName: "a", Containers: []v1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			p.Status.Phase = v1.PodRunning
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue}}
			if _, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		// live lets a node's agent beat, and say that it lives where it was given up:
		// the controller may hear of beats too late.
		live := func(name string) {
			t.Helper()
			beat(name)
			n, err := nodes.Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if c := condition(n.Status.Conditions, v1.NodeReady); c == nil || c.Status != v1.ConditionTrue {
				speak(name)
			}
		}
		// until waits for what is known of node a and its pods, while time goes on for
		// those that are alive: slowly, for the controller hears of a beat later.
		until := func(want string, alive ...string) {
			t.Helper()
			controllertest.Until(t, func() string {
				for _, name := range alive {
					live(name)
				}
				n, err := nodes.Get(ctx, "a", metav1.GetOptions{})
				if err != nil {
					return err.Error()
				}
				list, err := pods.List(ctx, metav1.ListOptions{})
				if err != nil {
					return err.Error()
				}
				var got []string
				if c := condition(n.Status.Conditions, v1.NodeReady); c != nil {
					got = append(got, string(c.Status))
				}
				var taints []string
				for _, x := range n.Spec.Taints {
					taints = append(taints, strings.TrimPrefix(x.Key, "node.kubernetes.io/")+":"+string(x.Effect))
				}
				slices.Sort(taints)
				got = append(got, taints...)
				for _, p := range list.Items {
					got = append(got, fmt.Sprintf("%s=%s", p.Name, p.Status.Conditions[0].Status))
				}
				if s := strings.Join(got, " "); s != want {
					clock.Step(100 * time.Millisecond)
					return s + ", want " + want
				}
				return ""
			})
		}
		run(t, env, clock, Definition(0))
		until("True one=True two=True", "a", "b", "c")
		for range 3 {
			clock.Step(DefaultGracePeriod / 3)
			beat("b")
			beat("c")
		}
		until("Unknown unreachable:NoExecute unreachable:NoSchedule one=False two=False", "b", "c")
		speak("a")
		until("True one=False two=False", "a", "b", "c") // the agent makes its pods ready again
	})
}
