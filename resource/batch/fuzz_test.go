package batch

import (
	"strings"
	"testing"
)

func FuzzParseSchedule(f *testing.F) {
	for _, s := range []string{"* * * * *", "@every 1h", "TZ=", "CRON_TZ=x", "TZ= * * * * *", "*/0 * * * *"} {
		f.Add(s)
	}
	f.Fuzz(func(_ *testing.T, s string) { _, _ = ParseSchedule(s) })
}

// FuzzCountIndexes: a list is accepted only with each index once and in range.
func FuzzCountIndexes(f *testing.F) {
	for _, s := range []string{"", "0", "1,3-5,7", "3-1", "1-2-3", "-1", "9999999999"} {
		f.Add(s, int32(10))
	}
	f.Fuzz(func(t *testing.T, s string, completions int32) {
		n, err := CountIndexes(s, completions)
		if err == nil && s != "" && (n < 1 || n > completions) {
			t.Errorf("%q has %d of %d indexes", s, n, completions)
		}
		if i, both := firstCommonIndex(s, s, completions); err == nil && both == (s == "") {
			t.Errorf("%q has %d in common with itself: %v", strings.Clone(s), i, both)
		}
	})
}
