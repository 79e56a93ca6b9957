package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// renderComparison makes the page of a comparison.
func renderComparison(f facts, p plan, l *ledger) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "# Measured against upstream on %s\n\n%s\n", f.date.Format(time.DateOnly), f)
	fmt.Fprintf(&b, `How many times more of it upstream's parts need than Proa for the same work, made
by "make bench-upstream" in one run, round by round in turns: the ratio of the
medians, and in parentheses the least and the most of the rounds. Above 1, Proa
needs less. CPU is that of all processes of a side together; time is that of an
operation with %d requests in flight where there are many, client and server on
the same cores; memory is the sum of the highest of every process.

`, p.workers)
	cells := [][]string{{"work", "CPU", "time", "memory"}}
	for _, work := range l.works {
		line := []string{work}
		for _, q := range []quantity{cpuOfOne, timeOfOne, peakMemory} {
			cell := "–"
			if r, ok := l.ratio(work, q); ok {
				cell = r.String()
			}
			line = append(line, cell)
		}
		cells = append(cells, line)
	}
	b.WriteString(table(cells))
	b.WriteString("\n## The figures\n\n")
	b.WriteString(table(l.figures()))
	b.WriteString(`
Medians of the rounds, but p50 and p99, which are of all single operations. Both
sides are durable (etcd syncs before a write is answered) and secured alike: TLS,
client certificates, RBAC, node authorizer, NodeRestriction and the admission of a
default installation. Upstream's side is etcd, kube-apiserver,
kube-controller-manager, kube-scheduler, kubelet and containerd of their releases'
own builds, at their best: no client's own limits, certificates made beforehand,
etcd without TLS, no service proxy, no cluster DNS. Proa's side is "proa up", which
has both. Runc, CNI plugins, images, hollow nodes and the client are the same.
`)
	if len(l.failures) > 0 {
		b.WriteString("\n## Not measured\n\n")
		for _, f := range l.failures {
			fmt.Fprintf(&b, "- %s: %s: %s\n", f.side, f.operation, strings.ReplaceAll(f.err.Error(), "\n", " "))
		}
	}
	return b.String()
}

// figures are what each side has shown.
func (l *ledger) figures() [][]string {
	cells := [][]string{{"work", "side", "rounds", "per second", "p50, ms", "p99, ms", "CPU of one, ms", "memory, MB"}}
	or := func(v float64) string {
		if v <= 0 {
			return "–"
		}
		return number(v)
	}
	of := func(samples []sample, q quantity) float64 {
		vs := known(samples, q)
		if len(vs) == 0 {
			return 0
		}
		return medianOf(vs)
	}
	for _, work := range l.works {
		for _, side := range []string{l.first, l.second} {
			samples := l.samples[work][side]
			if len(samples) == 0 {
				continue
			}
			cells = append(cells, []string{
				work, side, fmt.Sprint(len(samples)), or(1000 / of(samples, timeOfOne)), or(quantile(samples, 0.5)), or(quantile(samples, 0.99)),
				or(of(samples, cpuOfOne)), or(of(samples, peakMemory)),
			})
		}
	}
	return cells
}

// Width of the longest bar of the chart, and what it stands for at least.
const (
	barWidth = 40
	barTimes = 10
)

// chart draws the ratios of CPU time, or of time where CPU time is not known.
func (l *ledger) chart() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	type bar struct {
		work string
		ratio
	}
	var bars []bar
	longest, width := float64(barTimes), 0
	for _, work := range l.works {
		if r, ok := l.ratio(work, cpuOfOne); ok {
			bars = append(bars, bar{work, r})
			longest, width = max(longest, r.median), max(width, utf8.RuneCountInString(work))
		}
	}
	var b strings.Builder
	for _, x := range bars {
		n := max(1, int(x.median/longest*barWidth+0.5))
		fmt.Fprintf(&b, "%s%s  %s %s×\n", x.work, strings.Repeat(" ", width-utf8.RuneCountInString(x.work)), strings.Repeat("█", n), times(x.median))
	}
	return b.String()
}

// Markers of the chart in a page.
const (
	chartBegins = "<!-- chart of make bench-upstream -->"
	chartEnds   = "<!-- end of the chart -->"
)

// insertChart puts the chart between its markers.
func insertChart(page, chart string, date time.Time) (string, error) {
	before, rest, found := strings.Cut(page, chartBegins)
	_, after, ends := strings.Cut(rest, chartEnds)
	if !found || !ends {
		return "", fmt.Errorf("the page has no lines %q and %q for the chart to go between", chartBegins, chartEnds)
	}
	day := date.Format(time.DateOnly)
	text := fmt.Sprintf("\nHow many times the CPU time that upstream's parts need of what Proa needs, for the same work on the same machine,\n"+
		"durable and secured alike ([%s](docs/bench/%s%s.md), by `make bench-upstream`):\n\n```\n%s```\n", day, day, comparisonSuffix, chart)
	return before + chartBegins + text + chartEnds + after, nil
}

// comparisonSuffix tells the page of a comparison from the other of its day.
const comparisonSuffix = "-upstream"

// writeComparison writes the page and the chart, if they are wanted.
func writeComparison(o options, f facts, l *ledger) error {
	if o.out == "" {
		return nil
	}
	if err := write(o.out, f.date.Format(time.DateOnly)+comparisonSuffix, renderComparison(f, o.plan, l)); err != nil {
		return err
	}
	chart := l.chart()
	if o.readme == "" || chart == "" {
		return nil
	}
	page, err := os.ReadFile(o.readme)
	if err != nil {
		return fmt.Errorf("the page for the chart: %w", err)
	}
	text, err := insertChart(string(page), chart, f.date)
	if err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(o.readme), err)
	}
	return os.WriteFile(o.readme, []byte(text), 0o644)
}
