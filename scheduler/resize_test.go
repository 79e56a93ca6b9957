package scheduler

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// A pod that is being resized takes as much room as it asks for, was promised or
// has, whichever is most; a wish that can never be granted takes none.
func TestRequestOfResizedPod(t *testing.T) {
	t.Parallel()
	cpu := func(milli int64) v1.ResourceList {
		return v1.ResourceList{v1.ResourceCPU: *resource.NewMilliQuantity(milli, resource.DecimalSI)}
	}
	for name, tt := range map[string]struct {
		spec, allocated, actual int64
		infeasible              bool
		want                    int64
	}{
		"at rest":        {500, 500, 500, false, 500},
		"wants more":     {900, 500, 500, false, 900},
		"wants less":     {100, 500, 500, false, 500},
		"was promised":   {100, 800, 500, false, 800},
		"still has":      {100, 100, 700, false, 700},
		"wants too much": {9000, 500, 500, true, 500},
	} {
		p := &v1.Pod{
			Spec: v1.PodSpec{Containers: []v1.Container{{Name: "a", Resources: v1.ResourceRequirements{Requests: cpu(tt.spec)}}}},
			Status: v1.PodStatus{ContainerStatuses: []v1.ContainerStatus{{
				Name: "a", AllocatedResources: cpu(tt.allocated), Resources: &v1.ResourceRequirements{Requests: cpu(tt.actual)},
			}}},
		}
		if tt.infeasible {
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodResizePending, Status: v1.ConditionTrue, Reason: v1.PodReasonInfeasible}}
		}
		if got, _ := requestOf(p); got.cpu != tt.want {
			t.Errorf("%s: %d, want %d", name, got.cpu, tt.want)
		}
	}
}
