package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func megabytes(bytes int64) float64 { return float64(bytes) / 1e6 }

// number has three digits that mean something, and groups of thousands.
func number(v float64) string {
	switch {
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// render makes the page of one run: the machine, the table, how to read it.
func render(f facts, p plan, results []result) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Measured on %s\n\n%s\n", f.date.Format(time.DateOnly), f)
	cells := [][]string{{"work", "measured", "budget (upstream)", "reached", "why not"}}
	for _, r := range results {
		why := ""
		if r.verdict == no || r.verdict == partly {
			why = r.why
		}
		cells = append(cells, []string{r.work, number(r.value) + " " + r.unit, r.budget, string(r.verdict), why})
	}
	b.WriteString(table(cells))
	fmt.Fprintf(&b, `
Client and server share the cores. %d requests are in flight on one connection;
each watcher has one of its own. Server CPU is that of the whole process, which
also holds etcd, controllers, scheduler, node agent and containerd. Starts and
single pods are medians of %d and %d. "partly" beats the slower of upstream's
runs, not the faster one. Rows without a budget are for comparison over time.
`, p.workers, p.starts, p.singles)
	return b.String()
}

// table draws Markdown with aligned columns; the first row is the head.
func table(cells [][]string) string {
	widths := make([]int, len(cells[0]))
	for _, line := range cells {
		for i, c := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	var b strings.Builder
	for n, line := range cells {
		for i, c := range line {
			b.WriteString("| " + c + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c)+1))
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range widths {
				b.WriteString("|" + strings.Repeat("-", w+2))
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}
