package status

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// Apply returns a copy of the API pod that has the status s, merged as [Patch]
// merges it, or nil where nothing would change. The copy shares all but the
// status with api.
func Apply(api *v1.Pod, s v1.PodStatus) *v1.Pod {
	normalize(&s)
	s = merge(&api.Status, s)
	if equality.Semantic.DeepEqual(api.Status, s) {
		return nil
	}
	p := *api
	p.Status = s
	return &p
}
