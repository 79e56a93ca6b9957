package namespace

import (
	"errors"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestRemains(t *testing.T) {
	t.Parallel()
	pods := map[schema.GroupVersionResource]int{v1.SchemeGroupVersion.WithResource("pods"): 2}
	for name, tt := range map[string]struct {
		remains
		empty bool
		bad   v1.NamespaceConditionType
	}{
		"nothing left":           {remains{}, true, ""},
		"not all can be seen":    {remains{discovery: errors.New("down")}, false, v1.NamespaceDeletionDiscoveryFailure},
		"not all can be deleted": {remains{failed: errors.New("no")}, false, v1.NamespaceDeletionContentFailure},
		"something left":         {remains{objects: pods}, false, v1.NamespaceContentRemaining},
	} {
		if tt.empty != tt.remains.empty() {
			t.Errorf("%s: empty is %v", name, tt.remains.empty())
		}
		at := metav1.NewTime(time.Unix(100, 0))
		got := tt.conditions(nil, at)
		for _, c := range got {
			if (c.Status == v1.ConditionTrue) != (c.Type == tt.bad) || c.Reason == "" || c.Message == "" {
				t.Errorf("%s: %+v", name, c)
			}
		}
		// Said again, nothing changes, not even the times.
		for i, c := range tt.conditions(got, metav1.NewTime(time.Unix(200, 0))) {
			if c != got[i] {
				t.Errorf("%s: %+v became %+v", name, got[i], c)
			}
		}
	}
	for soon, want := range map[time.Duration]time.Duration{0: time.Second, 10 * time.Second: 5 * time.Second, time.Hour: 15 * time.Second} {
		if got := (&remains{soon: soon}).wait(); got != want {
			t.Errorf("waits %v for %v", got, soon)
		}
	}
}
