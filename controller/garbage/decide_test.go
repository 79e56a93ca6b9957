package garbage

import (
	"fmt"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	idle, waits := dependent{}, dependent{deleting: true, waits: true}
	for name, tt := range map[string]struct {
		states     []ownerState
		finalizers []string
		dependents []dependent
		want       verdict
	}{
		"owner there":                      {states: []ownerState{solid}},
		"owner gone":                       {states: []ownerState{dangling}, want: verdict{remove: metav1.DeletePropagationBackground}},
		"one of two gone":                  {states: []ownerState{solid, dangling}, want: verdict{drop: []types.UID{"1"}}},
		"one waits, one is there":          {states: []ownerState{waiting, solid}, want: verdict{drop: []types.UID{"0"}}},
		"all gone":                         {states: []ownerState{dangling, dangling}, want: verdict{remove: metav1.DeletePropagationBackground}},
		"owner waits":                      {states: []ownerState{waiting}, want: verdict{remove: metav1.DeletePropagationBackground}},
		"owner waits, has dependents":      {states: []ownerState{waiting}, dependents: []dependent{idle}, want: verdict{remove: metav1.DeletePropagationForeground}},
		"owner waits, a dependent as well": {states: []ownerState{waiting}, dependents: []dependent{idle, waits}, want: verdict{unblock: true, remove: metav1.DeletePropagationForeground}},
		"gone, asked to orphan":            {states: []ownerState{dangling}, finalizers: []string{metav1.FinalizerOrphanDependents}, want: verdict{remove: metav1.DeletePropagationOrphan}},
		"gone, asked to wait":              {states: []ownerState{dangling}, finalizers: []string{metav1.FinalizerDeleteDependents}, want: verdict{remove: metav1.DeletePropagationForeground}},
	} {
		var owners []metav1.OwnerReference
		for i := range tt.states {
			owners = append(owners, metav1.OwnerReference{UID: types.UID(fmt.Sprint(i))})
		}
		got := judge(owners, tt.states, tt.finalizers, tt.dependents)
		if !slices.Equal(got.drop, tt.want.drop) || got.unblock != tt.want.unblock || got.remove != tt.want.remove {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// An object is never removed while one of its owners is there.
func TestJudgeKeepsWhatIsOwned(t *testing.T) {
	t.Parallel()
	var each func(states []ownerState)
	each = func(states []ownerState) {
		owners := make([]metav1.OwnerReference, len(states))
		for _, dependents := range [][]dependent{nil, {{}}, {{waits: true}}} {
			if v := judge(owners, states, nil, dependents); slices.Contains(states, solid) == (v.remove != "") {
				t.Errorf("%v: %+v", states, v)
			}
		}
		if len(states) < 4 {
			for s := solid; s <= waiting; s++ {
				each(append(slices.Clone(states), s))
			}
		}
	}
	for s := solid; s <= waiting; s++ {
		each([]ownerState{s})
	}
}
