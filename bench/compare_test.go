package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	serializer "k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/client-go/kubernetes/scheme"
)

func TestRatio(t *testing.T) {
	t.Parallel()
	l := newLedger("ours", "theirs")
	for i, cpu := range []time.Duration{10, 20, 40} {
		l.note("create", "ours", sample{n: 10, cpu: cpu * time.Millisecond})
		l.note("create", "theirs", sample{n: 5, cpu: []time.Duration{50, 20, 60}[i] * time.Millisecond})
	}
	r, ok := l.ratio("create", cpuOfOne)
	// Per operation 1, 2, 4 against 10, 4, 12.
	if want := (ratio{median: 5, least: 2, most: 10}); !ok || r != want {
		t.Errorf("ratio = %v %v, want %v", r, ok, want)
	}
	if r, ok := l.ratio("create", peakMemory); ok {
		t.Errorf("a ratio of what nobody knows: %v", r)
	}
	if r, ok := l.ratio("other", cpuOfOne); ok {
		t.Errorf("a ratio of what nobody did: %v", r)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	var s sample
	for i := range 100 {
		s.latencies = append(s.latencies, time.Duration(100-i)*time.Millisecond)
	}
	if got := quantile([]sample{s}, 0.5); got != 51 {
		t.Errorf("p50 = %v, want 51", got)
	}
	if got := quantile([]sample{s, {}}, 0.99); got != 100 {
		t.Errorf("p99 = %v, want 100", got)
	}
	if got := quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing = %v, want 0", got)
	}
}

// Rounds go A B A B. A side that fails does the operation no more, and the other
// goes on.
func TestOperate(t *testing.T) {
	t.Parallel()
	l := newLedger("Proa", "upstream")
	c := &comparison{ledger: l, log: io.Discard, end: time.Now().Add(time.Hour), subjects: []*subject{{side: &cluster{}}, {side: &upstream{}}}}
	var order []string
	op := operation{name: "work", rounds: 3, run: func(_ context.Context, turn *turn) error {
		order = append(order, turn.name())
		if turn.name() == "upstream" && turn.round == 1 {
			return errors.New("boom")
		}
		return nil
	}}
	c.operate(t.Context(), op)
	if got, want := strings.Join(order, " "), "Proa upstream Proa upstream Proa"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
	page := renderComparison(facts{}, plan{}, l)
	if !strings.Contains(page, "- upstream: work: boom") {
		t.Errorf("the failure is missing in\n%s", page)
	}
	c.end = time.Now()
	order = nil
	c.operate(t.Context(), operation{name: "late", rounds: 3, run: op.run})
	if len(order) > 0 {
		t.Errorf("%v worked after the end", order)
	}
}

func TestChart(t *testing.T) {
	t.Parallel()
	l := newLedger("Proa", "upstream")
	for work, cpu := range map[string]time.Duration{"create": 5} {
		l.note(work, "Proa", sample{n: 1, cpu: time.Millisecond})
		l.note(work, "upstream", sample{n: 1, cpu: cpu * time.Millisecond})
	}
	page := "before\n" + chartBegins + "old" + chartEnds + "\nafter\n"
	for range 2 { // into its own result, too
		var err error
		if page, err = insertChart(page, l.chart(), time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"before\n", "\nafter\n", "create  " + strings.Repeat("█", barWidth/2) + " 5.0×\n", "2026-01-02-upstream.md"} {
		if strings.Count(page, want) != 1 {
			t.Errorf("not once %q in\n%s", want, page)
		}
	}
	if _, err := insertChart("no markers", "x", time.Time{}); err == nil {
		t.Error("a page without markers is no error")
	}
}

func TestParsePeak(t *testing.T) {
	t.Parallel()
	if got := parsePeak("Name:\tx\nVmHWM:\t    1234 kB\nVmRSS:\t 9 kB\n"); got != 1234<<10 {
		t.Errorf("peak = %d", got)
	}
	if got := parsePeak("Name:\tx\n"); got != 0 {
		t.Errorf("peak of an ending process = %d", got)
	}
}

// A watch that is cut goes on where it ended.
func TestReadUntilCut(t *testing.T) {
	t.Parallel()
	var stream bytes.Buffer
	frames := serializer.LengthDelimitedFramer.NewFrameWriter(&stream)
	for i := range 3 {
		var raw bytes.Buffer
		pod := &v1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: strconv.Itoa(7 + i)}}
		if err := serializer.NewSerializer(scheme.Scheme, scheme.Scheme).Encode(pod, &raw); err != nil {
			t.Fatal(err)
		}
		event, err := (&metav1.WatchEvent{Type: "ADDED", Object: runtime.RawExtension{Raw: raw.Bytes()}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := frames.Write(event); err != nil {
			t.Fatal(err)
		}
	}
	whole := stream.Bytes()
	w := &watcher{body: io.NopCloser(bytes.NewReader(whole)), from: "1"}
	if n, err := w.read(2); n != 2 || err != nil || w.from != "1" {
		t.Errorf("read %d, %v, from %s", n, err, w.from)
	}
	w.body = io.NopCloser(bytes.NewReader(whole[:len(whole)-1]))
	if n, err := w.read(3); n != 2 || err != nil || w.from != "8" {
		t.Errorf("read %d, %v, from %s; want 2 and 8", n, err, w.from)
	}
}
