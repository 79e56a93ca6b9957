package builtin

import (
	"testing"
	"time"
)

func TestEveryColumnHasItsCell(t *testing.T) {
	t.Parallel()
	for _, d := range Table().View().Definitions {
		if n := len(d.Columns); len(d.Cells(d.New(), time.Time{})) != n {
			t.Errorf("%s has %d columns and %d cells", d.GroupResource(), n, len(d.Cells(d.New(), time.Time{})))
		}
	}
}
