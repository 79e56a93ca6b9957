// Package report keeps the outcome of every test, and writes it down: junit for
// machines, a table by SIG for readers, and the list of tests that pass.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/reporters"
	"github.com/onsi/ginkgo/v2/types"
	"golang.org/x/sys/unix"
)

// Outcome of one test.
type Outcome struct {
	Passed  bool    `json:"passed"`
	Seconds float64 `json:"seconds"`
	// Message of a failure, whole.
	Message string `json:"message,omitempty"`
	// Version of Proa that was tested.
	Version string `json:"version"`
}

// Results are the last outcomes by the name of the test. They are kept in a file
// so that a part of the suite can be run again without the rest.
type Results map[string]Outcome

// Load reads a file that Save wrote. One that is missing has no results.
func Load(file string) (Results, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return Results{}, nil
	}
	if err != nil {
		return nil, err
	}
	r := Results{}
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("results %s: %w; remove the file to start anew", file, err)
	}
	return r, nil
}

// Update changes what a file of Save's says. Several runs may share one: each
// change waits for the others.
func Update(file string, change func(Results)) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	lock, err := os.OpenFile(file+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock %s: %w", file, err)
	}
	r, err := Load(file)
	if err != nil {
		return err
	}
	change(r)
	return r.Save(file)
}

// Save replaces the file.
func (r Results) Save(file string) error {
	data, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return Write(file, data)
}

// Add notes a test's outcome. Skipped by the suite itself is not passed.
func (r Results) Add(name string, s types.SpecReport, version string) Outcome {
	o := Outcome{Passed: s.State == types.SpecStatePassed, Seconds: s.RunTime.Round(100 * time.Millisecond).Seconds(), Version: version}
	if !o.Passed {
		o.Message = s.Failure.Message
		if s.State == types.SpecStateSkipped {
			o.Message = "the suite skipped it: " + o.Message
		}
	}
	r[name] = o
	return o
}

// JUnit writes the reports of one run.
func JUnit(file string, specs []types.SpecReport, start time.Time) error {
	ok := !slices.ContainsFunc(specs, func(s types.SpecReport) bool { return s.State != types.SpecStatePassed })
	return reporters.GenerateJUnitReport(types.Report{
		SuiteDescription: "Kubernetes conformance", SuiteSucceeded: ok, SpecReports: specs, StartTime: start, EndTime: time.Now(), RunTime: time.Since(start),
		PreRunStats: types.PreRunStats{TotalSpecs: len(specs), SpecsThatWillRun: len(specs)},
	}, file)
}

// ReadNames reads a list of tests, one a line; lines that begin with # are
// comments.
func ReadNames(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			names = append(names, line)
		}
	}
	return names, nil
}

const listHeader = `# Conformance tests that are known to pass. One of them that fails makes the run
# fail. "make conformance UPDATE=1" adds the ones that are new; a name leaves the
# list only by hand, with the reason in the commit.
`

// WriteNames writes a list of tests in order.
func WriteNames(file string, names []string) error {
	slices.Sort(names)
	return Write(file, []byte(listHeader+strings.Join(slices.Compact(names), "\n")+"\n"))
}

// Write replaces a file at once.
func Write(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
