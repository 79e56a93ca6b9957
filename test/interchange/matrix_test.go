package interchange

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"proa/test/parts"
)

var report = flag.String("report", "", "`file` for the table of rows and steps")

// rows are the matrix: all of one maker, and all but one part.
func rows(withUpstream bool) []parts.Makers {
	if !withUpstream {
		return []parts.Makers{parts.AllBy(parts.Proa)}
	}
	var all []parts.Makers
	for _, m := range []parts.Maker{parts.Proa, parts.Upstream} {
		all = append(all, parts.AllBy(m))
		for _, p := range parts.All {
			all = append(all, parts.AllBy(m, p))
		}
	}
	return all
}

// TestMatrix runs the user's script on every row, one after the other: each
// has the machine for itself.
func TestMatrix(t *testing.T) {
	var results []result
	for _, m := range rows(os.Getenv(upstreamEnv) != "") {
		t.Run(m.String(), func(t *testing.T) {
			r := result{row: m, passed: map[string]bool{}}
			// Also when a step ends the test at once.
			defer func() { results = append(results, r) }()
			began := time.Now()
			c := newCluster(t, m)
			c.startAll()
			for _, s := range script {
				if !t.Run(s.name, func(t *testing.T) { s.do(t, c.in(t)) }) {
					return
				}
				r.passed[s.name] = true
			}
			r.took = time.Since(began)
		})
	}
	if *report != "" {
		if err := os.WriteFile(*report, []byte(render(results)), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// in is the same cluster, reporting to the test of a step.
func (c *cluster) in(t *testing.T) *cluster {
	inner := *c
	inner.t = t
	return &inner
}

// result is what a row has shown.
type result struct {
	row    parts.Makers
	passed map[string]bool // by the step's name
	took   time.Duration
}

// render makes the page of a run.
func render(results []result) string {
	var b strings.Builder
	b.WriteString(`# Interchange

Parts meet only at the API, so each can be exchanged for its upstream
counterpart of the same release. ` + "`make interchange`" + ` builds upstream's parts,
runs one script of a user's work on every row with real containers, and writes
this page. The steps are in
[test/interchange/script_test.go](../test/interchange/script_test.go).

| row |`)
	for i := range script {
		fmt.Fprintf(&b, " %d |", i+1)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(script)) + "\n")
	for _, r := range results {
		fmt.Fprintf(&b, "| %s |", r.row)
		for _, s := range script {
			mark := "–"
			if r.passed[s.name] {
				mark = "✓"
			}
			fmt.Fprintf(&b, " %s |", mark)
		}
		b.WriteString("\n")
	}
	b.WriteString("\nA row ends at the first step that fails.\n\n")
	for i, s := range script {
		fmt.Fprintf(&b, "%d. %s\n", i+1, s.name)
	}
	return b.String()
}
