package resourcetest_test

import (
	"testing"

	"proa/resource/builtin"
	"proa/resource/resourcetest"
)

func TestBuiltinRows(t *testing.T) {
	t.Parallel()
	for i, d := range builtin.Definitions() {
		t.Run(d.GroupResource().String(), func(t *testing.T) {
			t.Parallel()
			resourcetest.Check(t, d, int64(i)+1, 15)
		})
	}
}
