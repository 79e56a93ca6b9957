package report

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2/types"

	"proa/test/conformance/suite"
)

func TestMarkdown(t *testing.T) {
	t.Parallel()
	tests := []suite.Test{
		{Name: "[sig-node] Pods should run [NodeConformance] [Conformance]"},
		{Name: "[sig-node] Pods should stop [Conformance]"},
		{Name: "[sig-apps] Job should end [Conformance]"},
		{Name: "[sig-apps] Job should wait [Conformance]"},
	}
	r := Results{
		tests[0].Name: {Passed: true, Version: "1"},
		tests[1].Name: {Message: "Timed out after 300.001s.\nExpected <a> | b", Version: "1"},
		tests[2].Name: {Message: "whatever", Version: "1"},
	}
	got := Markdown(tests, r, []Cause{{regexp.MustCompile(`^\[sig-apps\] Job .*\nwhat`), "no job controller"}})
	for _, want := range []string{
		"| apps | 2 | 0 | 1 | 1 |\n", "| node | 2 | 1 | 1 | 0 |\n", "| **all** | 4 | 1 | 2 | 1 |\n",
		"| Job should end | no job controller |\n", "| Pods should stop | Timed out after …. Expected &lt;a&gt; \\| b |\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
}

func TestResultsAreKept(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "deep", "results.json")
	r, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	r.Add("a", types.SpecReport{State: types.SpecStatePassed, RunTime: 1230 * time.Millisecond}, "v")
	r.Add("b", types.SpecReport{State: types.SpecStateSkipped, Failure: types.Failure{Message: "two nodes"}}, "v")
	if err := r.Save(file); err != nil {
		t.Fatal(err)
	}
	again, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if want := (Outcome{Passed: true, Seconds: 1.2, Version: "v"}); again["a"] != want {
		t.Errorf("got %+v, want %+v", again["a"], want)
	}
	if b := again["b"]; b.Passed || b.Message != "the suite skipped it: two nodes" {
		t.Errorf("a skipped test counts as %+v", b)
	}
}

// Runs that share a file lose nothing of each other's.
func TestUpdatesAreShared(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "results.json")
	var runs sync.WaitGroup
	for i := range 4 {
		runs.Go(func() {
			for k := range 10 {
				if err := Update(file, func(r Results) { r.Add(fmt.Sprint(i, "/", k), types.SpecReport{}, "v") }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	runs.Wait()
	if r, err := Load(file); err != nil || len(r) != 40 {
		t.Errorf("%d results, %v", len(r), err)
	}
}

func TestNamesAndCauses(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "list")
	if err := WriteNames(file, []string{"b", "a", "b"}); err != nil {
		t.Fatal(err)
	}
	names, err := ReadNames(file)
	if err != nil || !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("got %q, %v", names, err)
	}
	for text, bad := range map[string]bool{"# x\na.* => why\n": false, "a why": true, "( => why": true} {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadCauses(file); (err != nil) != bad {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// The lists that are kept beside the suite can be read.
func TestLists(t *testing.T) {
	t.Parallel()
	if _, err := ReadCauses("../causes.txt"); err != nil {
		t.Error(err)
	}
	names, err := ReadNames("../passing.txt")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(names) {
		t.Error("passing.txt is not in order")
	}
	for _, n := range names {
		if !strings.HasPrefix(n, "[sig-") || !strings.Contains(n, "[Conformance]") {
			t.Errorf("%q is no conformance test", n)
		}
	}
}
