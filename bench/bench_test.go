package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

func TestMedian(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		in   []time.Duration
		want time.Duration
	}{
		{[]time.Duration{3}, 3},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{4, 1, 3, 2}, 3},
	} {
		if got := median(test.in); got != test.want {
			t.Errorf("median(%v) = %v, want %v", test.in, got, test.want)
		}
	}
}

func TestParallel(t *testing.T) {
	t.Parallel()
	var sum atomic.Int64
	if err := parallel(t.Context(), 100, 8, func(_ context.Context, i int) error { sum.Add(int64(i)); return nil }); err != nil {
		t.Fatal(err)
	}
	if sum.Load() != 4950 {
		t.Errorf("sum = %d, want 4950", sum.Load())
	}
	boom := errors.New("boom")
	err := parallel(t.Context(), 100, 8, func(_ context.Context, i int) error {
		if i == 3 {
			return boom
		}
		return nil
	})
	if !errors.Is(err, boom) {
		t.Errorf("err = %v, want %v", err, boom)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := parallel(ended, 1, 1, func(context.Context, int) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want that of the context", err)
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		limit limit
		value float64
		want  verdict
	}{
		{limit{}, 1, unjudged},
		{atMost(10), 10, yes},
		{atMost(10), 10.1, no},
		{atMost(10, 20), 15, partly},
		{atMost(10, 20), 21, no},
		{atLeast(20), 20, yes},
		{atLeast(20), 19, no},
		{atLeast(20, 10), 15, partly},
	} {
		if got := test.limit.judge(test.value); got != test.want {
			t.Errorf("%+v.judge(%v) = %q, want %q", test.limit, test.value, got, test.want)
		}
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	seen := map[figure]bool{}
	for _, r := range rows(fullPlan()) {
		if seen[r.figure] {
			t.Errorf("%s: its figure is in the table twice", r.work)
		}
		seen[r.figure] = true
		if (r.budget == "") != (r.limit == limit{}) || (r.budget == "") != (r.why == "") {
			t.Errorf("%s: budget, limit and reason belong together", r.work)
		}
	}
	for f := freshAPI; f <= loadedMemory; f++ {
		if !seen[f] {
			t.Errorf("figure %d is measured and not shown", f)
		}
	}
}

func TestOnlyTheFullPlanIsJudged(t *testing.T) {
	t.Parallel()
	f := figures{freshAPI: 500}
	if got := judge(f, fullPlan())[0].verdict; got != yes {
		t.Errorf("full: %q, want %q", got, yes)
	}
	if got := judge(f, quickPlan())[0].verdict; got != unjudged {
		t.Errorf("quick: %q, want none", got)
	}
}

func TestNumber(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0.1234: "0.123", 1.5: "1.50", 12.34: "12.3", 123.4: "123", 1234: "1,234", 1234567: "1,234,567",
	} {
		if got := number(v); got != want {
			t.Errorf("number(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	got := table([][]string{{"work", "×"}, {"a", "10 µs"}})
	want := "| work | ×     |\n|------|-------|\n| a    | 10 µs |\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestRender(t *testing.T) {
	t.Parallel()
	f := facts{date: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), cores: 2, memory: 8 << 30, kernel: "6.1", goVersion: "go1.26", commit: "abc", loadBefore: 9}
	got := render(f, fullPlan(), judge(figures{freshAPI: 5000, podReady: 50}, fullPlan()))
	for _, want := range []string{"# Measured on 2026-01-02", "2 cores, 8 GB, Linux 6.1, go1.26, commit abc", "was busy", "5,000 ms", "| no "} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in\n%s", want, got)
		}
	}
	f.loadBefore = 0
	if got := render(f, fullPlan(), nil); strings.Contains(got, "busy") {
		t.Errorf("a quiet machine is called busy:\n%s", got)
	}
}

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "bench")
	for _, name := range []string{"2026-01-02", "2026-01-10", "2026-01-03" + comparisonSuffix, "2026-01-03", "2026-01-10", "notes"} {
		if err := write(dir, name, "page"); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	want := "- [2026-01-10](2026-01-10.md)\n- [2026-01-03-upstream](2026-01-03-upstream.md)\n- [2026-01-03](2026-01-03.md)\n- [2026-01-02](2026-01-02.md)\n"
	if !strings.HasSuffix(string(b), want) {
		t.Errorf("got\n%s\nwant it to end with\n%s", b, want)
	}
}

func TestAwait(t *testing.T) {
	t.Parallel()
	event := func(name string, ready v1.ConditionStatus) watch.Event {
		return watch.Event{Type: watch.Modified, Object: &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Status:     v1.PodStatus{Conditions: []v1.PodCondition{{Type: v1.PodReady, Status: ready}}},
		}}
	}
	events := make(chan watch.Event, 9)
	for _, e := range []watch.Event{event("a", "False"), event("other", "True"), event("a", "True"), event("a", "True"), event("b", "True")} {
		events <- e
	}
	if err := await(t.Context(), events, []string{"a", "b"}, isReady); err != nil {
		t.Error(err)
	}
	close(events)
	if err := await(t.Context(), events, []string{"c"}, isReady); err == nil {
		t.Error("a watch that ended counts as ready")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := await(ended, nil, []string{"c"}, isReady); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want that of the context", err)
	}
}

func TestParse(t *testing.T) {
	t.Setenv("PROA_BIN_DIR", "")
	if _, err := parse(nil); err == nil || !strings.Contains(err.Error(), "PROA_BIN_DIR") {
		t.Errorf("err = %v, want one about PROA_BIN_DIR", err)
	}
	if _, err := parse([]string{"more"}); err == nil || !strings.Contains(err.Error(), "more") {
		t.Errorf("err = %v, want one about the argument", err)
	}
}

func TestParseUsage(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"123\n": 123, "usage_usec 77\nuser_usec 5\n": 77} {
		if got, err := parseUsage(text); got != want || err != nil {
			t.Errorf("parseUsage(%q) = %d, %v, want %d", text, got, err, want)
		}
	}
	if _, err := parseUsage("nothing"); err == nil {
		t.Error("no number is no error")
	}
}

func TestWhatWasNotMeasuredIsNotShown(t *testing.T) {
	t.Parallel()
	if got := judge(figures{freshAPI: 1}, fullPlan()); len(got) != 1 {
		t.Errorf("%d rows, want 1", len(got))
	}
}
