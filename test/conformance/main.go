package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"proa/test/conformance/cluster"
	"proa/test/conformance/images"
	"proa/test/conformance/programs"
	"proa/test/conformance/registry"
	"proa/test/conformance/report"
	"proa/test/conformance/suite"
)

// options are the command line.
type options struct {
	module, bin, docs string
	focus, labels     string
	nodes, workers    int
	sample            int
	limit             time.Duration
	buildOnly, update bool
	reportOnly        bool
	upstream          bool
}

func main() {
	var o options
	cache, _ := os.UserCacheDir()
	flag.StringVar(&o.module, "module", ".", "`directory` of this module")
	flag.StringVar(&o.bin, "bin", "../../bin", "`directory` of proa and what it needs beside it")
	flag.StringVar(&o.docs, "docs", "../../docs/conformance.md", "`page` to write; empty: none")
	flag.StringVar(&cache, "cache", filepath.Join(cache, "proa-conformance"), "`directory` that keeps what is built")
	flag.StringVar(&o.focus, "focus", "", "`regexp` over the names of the tests to run")
	flag.StringVar(&o.labels, "labels", suite.Conformance, "`filter` of labels, as ginkgo's; with another than the default no page and no list is written")
	flag.IntVar(&o.nodes, "nodes", 2, "`number` of nodes")
	flag.IntVar(&o.workers, "workers", 6, "`number` of tests that run at once")
	flag.IntVar(&o.sample, "sample", 0, "run only this `number` of the tests known to pass")
	flag.DurationVar(&o.limit, "limit", 15*time.Minute, "`time` that one test may take")
	flag.BoolVar(&o.update, "update", false, "add the tests that pass to the list of those known to pass")
	flag.BoolVar(&o.reportOnly, "report-only", false, "write the page and the list from the last results, and run nothing")
	flag.BoolVar(&o.buildOnly, "build-only", false, "build the suite, its images and upstream's programs, and run nothing")
	flag.BoolVar(&o.upstream, "upstream", false, "build upstream's parts and etcd only, and print the folder they are in")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx, cache); err != nil {
		fmt.Fprintln(os.Stderr, "conformance:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context, cache string) error {
	b, err := programs.NewBuilder(o.module, cache)
	if err != nil {
		return err
	}
	if o.upstream {
		if err := buildUpstream(ctx, b); err != nil {
			return err
		}
		fmt.Println(b.Dir())
		return nil
	}
	binary, err := b.Build(ctx, programs.Suite)
	if err != nil {
		return err
	}
	archive, err := images.Build(ctx, b, filepath.Join(o.bin, "pause"))
	if err != nil {
		return err
	}
	if o.buildOnly {
		return buildUpstream(ctx, b)
	}
	all, err := suite.List(ctx, binary, o.labels)
	if err != nil {
		return err
	}
	known, err := report.ReadNames(filepath.Join(o.module, "passing.txt"))
	if err != nil {
		return err
	}
	tests, err := o.choose(all, known)
	if err != nil {
		return err
	}
	var results report.Results
	if o.reportOnly {
		results, err = report.Load(o.resultsFile())
	} else {
		results, err = o.test(ctx, binary, archive, tests)
	}
	if err != nil {
		return err
	}
	return o.conclude(all, tests, known, results)
}

// buildUpstream builds the parts of an upstream cluster and the store that they
// need.
func buildUpstream(ctx context.Context, b *programs.Builder) error {
	for _, p := range append([]programs.Program{programs.Etcd}, programs.Upstream...) {
		if _, err := b.Build(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// resultsFile keeps what each test did last, conformance tests apart from others.
func (o *options) resultsFile() string {
	name := "results.json"
	if o.labels != suite.Conformance {
		name = "others.json"
	}
	return filepath.Join(o.bin, "conformance", name)
}

// choose picks the tests to run.
func (o *options) choose(all []suite.Test, known []string) ([]suite.Test, error) {
	re, err := regexp.Compile(o.focus)
	if err != nil {
		return nil, fmt.Errorf("-focus: %w", err)
	}
	tests := slices.DeleteFunc(slices.Clone(all), func(t suite.Test) bool { return !re.MatchString(t.Name) })
	if o.sample > 0 {
		tests = slices.DeleteFunc(tests, func(t suite.Test) bool { return t.Serial || !slices.Contains(known, t.Name) })
		tests = spread(tests, o.sample)
	}
	if len(tests) == 0 {
		return nil, fmt.Errorf("no test matches %q", o.focus)
	}
	return tests, nil
}

// spread picks n tests at even distances, so that every area has some.
func spread(tests []suite.Test, n int) []suite.Test {
	if len(tests) <= n {
		return tests
	}
	out := make([]suite.Test, n)
	for i := range out {
		out[i] = tests[i*len(tests)/n]
	}
	return out
}

// test runs the tests against a cluster of their own. What is finished before an
// interrupt counts.
func (o *options) test(ctx context.Context, binary, archive string, tests []suite.Test) (results report.Results, err error) {
	out := filepath.Join(o.bin, "conformance")
	logs := filepath.Join(out, "logs")
	if err := os.MkdirAll(logs, 0o755); err != nil {
		return nil, err
	}
	file := o.resultsFile()
	proa, err := filepath.Abs(filepath.Join(o.bin, "proa"))
	if err != nil {
		return nil, err
	}
	version, err := exec.CommandContext(ctx, proa, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("ask proa for its version: %w", err)
	}
	c, err := cluster.Start(ctx, cluster.Config{Proa: proa, Nodes: o.nodes})
	if err != nil {
		return nil, err
	}
	defer func() {
		if log, readErr := os.ReadFile(c.Log()); readErr == nil {
			err = errors.Join(err, report.Write(filepath.Join(out, "proa.log"), log))
		}
		err = errors.Join(err, c.Stop())
	}()
	fmt.Fprintln(os.Stderr, "importing the images")
	if err := c.Import(ctx, archive); err != nil {
		return nil, err
	}
	pulled, err := registry.Open(archive)
	if err != nil {
		return nil, err
	}
	if err := c.ServeRegistry(pulled); err != nil {
		return nil, err
	}
	r := &suite.Runner{Command: c.Command, Binary: binary, Limit: o.limit, LogDir: logs, Args: []string{
		"--kubeconfig=" + c.Kubeconfig(), "--provider=skeleton", "--kubectl-path=" + filepath.Join(filepath.Dir(proa), "kubectl"),
		"--kubelet-root-dir=" + c.Root(),
	}}
	start, n := time.Now(), 0
	var specs []types.SpecReport
	err = r.All(ctx, tests, o.workers, func(t suite.Test, s types.SpecReport) error {
		n++
		specs = append(specs, s)
		var res report.Outcome
		err := report.Update(file, func(all report.Results) { res = all.Add(t.Name, s, strings.TrimSpace(string(version))) })
		word := "FAIL"
		if res.Passed {
			word = "pass"
		}
		fmt.Printf("%3d/%d %s %6.1fs %s\n", n, len(tests), word, res.Seconds, t.Name)
		return err
	})
	if ctx.Err() != nil {
		err = nil
	}
	results, loadErr := report.Load(file)
	return results, errors.Join(err, loadErr, report.JUnit(filepath.Join(out, "junit.xml"), specs, start))
}

// conclude writes the page and the list, and says which tests no longer pass.
func (o *options) conclude(all, tests []suite.Test, known []string, results report.Results) error {
	list := filepath.Join(o.module, "passing.txt")
	var lost, won []string
	passed := 0
	for _, t := range tests {
		res, ran := results[t.Name]
		if res.Passed {
			passed++
		}
		switch in := slices.Contains(known, t.Name); {
		case ran && in && !res.Passed:
			lost = append(lost, t.Name)
		case !in && res.Passed:
			won = append(won, t.Name)
		}
	}
	if o.labels != suite.Conformance {
		fmt.Printf("%d of %d passed\n", passed, len(tests))
		return nil
	}
	fmt.Printf("%d of %d passed, %d of them not in passing.txt yet\n", passed, len(tests), len(won))
	if o.update && len(won) > 0 {
		if err := report.WriteNames(list, append(known, won...)); err != nil {
			return err
		}
	}
	if o.docs != "" && o.sample == 0 {
		causes, err := report.ReadCauses(filepath.Join(o.module, "causes.txt"))
		if err != nil {
			return err
		}
		if err := report.Write(o.docs, []byte(report.Markdown(all, results, causes))); err != nil {
			return err
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("%d tests of passing.txt failed; what they printed is in %s:\n%s", len(lost),
			filepath.Join(o.bin, "conformance", "logs"), strings.Join(lost, "\n"))
	}
	return nil
}
