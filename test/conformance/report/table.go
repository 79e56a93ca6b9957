package report

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"proa/test/conformance/suite"
)

// Cause is why tests fail, for those whose own message does not tell.
type Cause struct {
	// Failure matches a test's name and, behind a line break, its message.
	Failure *regexp.Regexp
	Why     string
}

// ReadCauses reads lines of a regular expression, " => " and a cause.
func ReadCauses(file string) ([]Cause, error) {
	lines, err := ReadNames(file)
	if err != nil {
		return nil, err
	}
	var out []Cause
	for _, l := range lines {
		pattern, why, ok := strings.Cut(l, " => ")
		if !ok {
			return nil, fmt.Errorf("%s: %q is not a pattern, \" => \" and a cause", file, l)
		}
		re, err := regexp.Compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		out = append(out, Cause{re, why})
	}
	return out, nil
}

type count struct{ passed, failed, waiting int }

// Markdown is the page that says how far Proa conforms.
func Markdown(tests []suite.Test, r Results, causes []Cause) string {
	bySIG, total := map[string]*count{}, &count{}
	for _, t := range tests {
		sig := suite.SIG(t.Name)
		if bySIG[sig] == nil {
			bySIG[sig] = &count{}
		}
		o, ran := r[t.Name]
		for _, c := range []*count{bySIG[sig], total} {
			switch {
			case !ran:
				c.waiting++
			case o.Passed:
				c.passed++
			default:
				c.failed++
			}
		}
	}
	var sigs []string
	for s := range bySIG {
		sigs = append(sigs, s)
	}
	slices.Sort(sigs)
	var b strings.Builder
	b.WriteString(intro)
	b.WriteString("| SIG | tests | passed | failed | not run |\n| --- | ---: | ---: | ---: | ---: |\n")
	row := func(name string, c *count) {
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", name, c.passed+c.failed+c.waiting, c.passed, c.failed, c.waiting)
	}
	for _, s := range sigs {
		row(s, bySIG[s])
	}
	row("**all**", total)
	fmt.Fprintf(&b, "\nTested: %s.\n", strings.Join(versions(r), ", "))
	for _, s := range sigs {
		if bySIG[s].failed == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## Failed: %s\n\n| test | cause |\n| --- | --- |\n", s)
		for _, t := range tests {
			if o, ran := r[t.Name]; suite.SIG(t.Name) == s && ran && !o.Passed {
				fmt.Fprintf(&b, "| %s | %s |\n", cell(shortName(t.Name)), cell(cause(t.Name, o, causes)))
			}
		}
	}
	return b.String()
}

const intro = `# Conformance

How far Proa passes the conformance tests of Kubernetes v1.36.3, unmodified. ` + "`make conformance`" + ` runs them, on two
nodes if it is not told otherwise, and writes this page; ` + "`make conformance FOCUS=regex`" + ` runs some and writes
down what has changed. The tests that are known to pass are in [passing.txt](../test/conformance/passing.txt), and must
go on passing.

`

func versions(r Results) []string {
	var out []string
	for _, o := range r {
		if !slices.Contains(out, o.Version) {
			out = append(out, o.Version)
		}
	}
	slices.Sort(out)
	return out
}

func cause(name string, o Outcome, causes []Cause) string {
	for _, c := range causes {
		if c.Failure.MatchString(name + "\n" + o.Message) {
			return c.Why
		}
	}
	return firstLine(o.Message)
}

// firstLine is a message's beginning, without the times and names that differ
// from run to run.
func firstLine(message string) string {
	line := strings.Join(strings.Fields(message), " ")
	for _, v := range varying {
		line = v.ReplaceAllString(line, "…")
	}
	if runes := []rune(line); len(runes) > 240 {
		line = string(runes[:240]) + "…"
	}
	return line
}

var varying = []*regexp.Regexp{
	regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`),
	regexp.MustCompile(`\b0x[0-9a-f]+\b`),
	regexp.MustCompile(`\b\d+\.\d{3}s\b`),
}

var labels = regexp.MustCompile(` \[(Conformance|NodeConformance|LinuxOnly)\]`)

func shortName(name string) string {
	return labels.ReplaceAllString(strings.TrimPrefix(name, "[sig-"+suite.SIG(name)+"] "), "")
}

func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;", ">", "&gt;", "*", `\*`, "`", "'").Replace(s)
}
