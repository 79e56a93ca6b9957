package priority

import (
	"context"
	"fmt"

	schedulingv1 "k8s.io/api/scheduling/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	scheduling "k8s.io/client-go/kubernetes/typed/scheduling/v1"
)

// System returns the classes that every cluster has.
func System() []*schedulingv1.PriorityClass {
	class := func(name string, value int32, text string) *schedulingv1.PriorityClass {
		return &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, Description: text}
	}
	const critical = 2_000_000_000
	return []*schedulingv1.PriorityClass{
		class("system-node-critical", critical+1000, "Used for system critical pods that must not be moved from their current node."),
		class("system-cluster-critical", critical, "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary."),
	}
}

// EnsureSystem creates the classes of System that are missing.
func EnsureSystem(ctx context.Context, c scheduling.PriorityClassInterface) error {
	for _, class := range System() {
		_, err := c.Get(ctx, class.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			_, err = c.Create(ctx, class, metav1.CreateOptions{})
			if apierrors.IsAlreadyExists(err) {
				err = nil
			}
		}
		if err != nil {
			return fmt.Errorf("create the priority class %s: %w", class.Name, err)
		}
	}
	return nil
}
