package crds_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/apitest"
	"proa/cache"
)

// BenchmarkDefinitions establishes definitions of some 12 kB each and says how
// long one takes until it is served, and how much memory it keeps: unused, and
// once an object of it was made.
func BenchmarkDefinitions(b *testing.B) {
	// Without the objects that tests keep to see whether somebody changes them.
	w := start(b, apitest.WithHub(cache.Options{Guard: 1}))
	ctx := b.Context()
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	w.define(named(1 << 20)) // what is made once for all is made before
	before, n, began := heap(), 0, time.Now()
	for b.Loop() {
		w.define(named(n))
		n++
	}
	took := time.Since(began)
	unused := heap()
	for i := range n {
		o := object(b, fmt.Sprintf("{apiVersion: example.com/v1, kind: Boat%d, metadata: {name: a}, spec: {color: red}}", i))
		if _, err := w.in("example.com", "v1", fmt.Sprintf("boats%d", i), "default").Create(ctx, o, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(took.Microseconds())/1000/float64(n), "ms/definition")
	b.ReportMetric(float64(unused-before)/1024/float64(n), "kB/unused")
	b.ReportMetric(float64(heap()-before)/1024/float64(n), "kB/used")
}

// named is a definition of its own, padded as generated ones are by the
// descriptions of their fields.
func named(i int) string {
	text := strings.NewReplacer("boats", fmt.Sprint("boats", i), "kind: Boat, shortNames: [bo],", fmt.Sprintf("kind: Boat%d,", i)).Replace(boats)
	var fields strings.Builder
	for f := range 60 {
		fmt.Fprintf(&fields, "              field%d: {type: string, description: %q}\n", f, strings.Repeat(fmt.Sprintf("what field %d means ", f), 8))
	}
	return strings.Replace(text, "              sails:", fields.String()+"              sails:", 1)
}
