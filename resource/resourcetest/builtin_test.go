package resourcetest_test

import (
	"testing"

	"proa/resource/builtin"
	"proa/resource/resourcetest"
)

func TestBuiltinRows(t *testing.T) {
	t.Parallel()
	checker := resourcetest.NewChecker(t)
	for i, d := range builtin.Definitions() {
		t.Run(d.GroupResource().String(), func(t *testing.T) {
			t.Parallel()
			checker.Check(t, d, int64(i)+1, 8)
		})
	}
}
