package podgc

import (
	"encoding/json"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// failPatch is the strategic merge patch of the status that marks a pod failed.
func failPatch(d doomed, now time.Time) ([]byte, error) {
	status := map[string]any{"phase": v1.PodFailed}
	if d.condition != nil {
		cond := *d.condition
		cond.LastTransitionTime = metav1.NewTime(now)
		status["conditions"] = []v1.PodCondition{cond}
	}
	b, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": d.pod.UID}, "status": status})
	if err != nil {
		return nil, fmt.Errorf("encode a pod status: %w", err)
	}
	return b, nil
}
