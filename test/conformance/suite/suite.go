// Package suite lists the tests of the upstream suite and runs them, each in a
// process of its own: so each has a limit of time, and one that hangs or panics
// takes no other with it.
package suite

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/types"
)

// description precedes the name of every test of the suite where a test is
// selected by name.
const description = "Kubernetes e2e suite"

// Test is one conformance test.
type Test struct {
	// Name is the whole name, with the SIG before and the labels behind.
	Name string `json:"name"`
	// Serial tests run alone.
	Serial bool `json:"serial,omitempty"`
}

var sig = regexp.MustCompile(`^\[sig-([a-z-]+)\]`)

// SIG is the group that owns a test.
func SIG(name string) string {
	if m := sig.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return "other"
}

// Conformance is the label of the tests that make a Kubernetes.
const Conformance = "Conformance"

// List asks the suite for its tests that ginkgo's filter of labels selects,
// sorted by name.
func List(ctx context.Context, binary, labels string) ([]Test, error) {
	dir, err := os.MkdirTemp("", "suite")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "list.json")
	cmd := exec.CommandContext(ctx, binary, "--ginkgo.dry-run", "--ginkgo.silence-skips", "--ginkgo.label-filter="+labels,
		"--ginkgo.json-report="+out, "--provider=skeleton")
	cmd.Dir = dir
	if text, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("list the tests of the suite: %w\n%s", err, text)
	}
	specs, err := read(out)
	if err != nil {
		return nil, err
	}
	var tests []Test
	for _, s := range specs {
		tests = append(tests, Test{Name: s.FullText(), Serial: slices.Contains(s.Labels(), "Serial")})
	}
	slices.SortFunc(tests, func(a, b Test) int { return strings.Compare(a.Name, b.Name) })
	return tests, nil
}

// read returns what a report says of the tests that were selected.
func read(file string) ([]types.SpecReport, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var reports []types.Report
	if err := json.Unmarshal(data, &reports); err != nil {
		return nil, fmt.Errorf("report %s: %w", file, err)
	}
	var out []types.SpecReport
	for _, r := range reports {
		for _, s := range r.SpecReports {
			if s.LeafNodeType == types.NodeTypeIt && (s.State != types.SpecStateSkipped || s.Failure.Message != "") {
				out = append(out, s)
			}
		}
	}
	return out, nil
}

// Runner runs tests against one cluster.
type Runner struct {
	// Command makes a command that reaches the cluster.
	Command func(ctx context.Context, name string, args ...string) *exec.Cmd
	// Binary is the suite.
	Binary string
	// Args are what a user tells the suite of the cluster.
	Args []string
	// Limit of time for one test. The suite then cleans up and fails it.
	Limit time.Duration
	// LogDir receives what each test prints.
	LogDir string
}

// grace is how long a test that ran into its limit may clean up.
const grace = time.Minute

// Run runs one test and returns its report. A test that leaves none, because its
// process died, has failed with what it said last. The error is of the runner
// itself.
func (r *Runner) Run(ctx context.Context, t Test) (types.SpecReport, error) {
	dir, err := os.MkdirTemp("", "suite")
	if err != nil {
		return types.SpecReport{}, err
	}
	defer os.RemoveAll(dir)
	logFile, err := os.Create(filepath.Join(r.LogDir, fileName(t.Name)+".log"))
	if err != nil {
		return types.SpecReport{}, err
	}
	defer logFile.Close()
	report := filepath.Join(dir, "report.json")
	args := append([]string{
		"--ginkgo.focus=^" + regexp.QuoteMeta(description+" "+t.Name) + "$", "--ginkgo.json-report=" + report,
		"--ginkgo.timeout=" + r.Limit.String(), "--ginkgo.grace-period=" + grace.String(),
		"--ginkgo.silence-skips", "--ginkgo.no-color", "--report-dir=" + dir, "--e2e-output-dir=" + dir,
	}, r.Args...)
	ctx, cancel := context.WithTimeout(ctx, r.Limit+2*grace)
	defer cancel()
	cmd := r.Command(ctx, r.Binary, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, logFile, logFile
	// Each process lays out seven thousand tests to run one, and lives shortly:
	// collecting garbage is half of what that costs.
	cmd.Env = append(cmd.Environ(), "GOGC=800")
	// A cancelled run lets its tests clean up.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = grace
	start := time.Now()
	runErr := cmd.Run()
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return types.SpecReport{}, err
	}
	specs, err := read(report)
	if err == nil && len(specs) == 1 {
		return specs[0], nil
	}
	return types.SpecReport{
		LeafNodeText: t.Name, LeafNodeType: types.NodeTypeIt, State: types.SpecStatePanicked, StartTime: start, EndTime: time.Now(), RunTime: time.Since(start),
		Failure: types.Failure{Message: fmt.Sprintf("the suite left no report of it (%v): %s", runErr, lastLine(logFile))},
	}, nil
}

// fileName makes a readable and unique name of a test's.
func fileName(name string) string {
	var b strings.Builder
	for _, r := range name {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "_"):
			b.WriteByte('_')
		}
	}
	s := strings.Trim(b.String(), "_")
	return s[:min(len(s), 200)]
}

// lastLine of what a test has printed.
func lastLine(f io.ReadSeeker) string {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err.Error()
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	return lines[len(lines)-1]
}
