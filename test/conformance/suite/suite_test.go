package suite

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2/types"
)

// script is a suite in shell. It takes the place of the upstream one, which these
// tests need not build.
func script(t *testing.T, body string) *Runner {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "suite.sh")
	text := "#!/bin/sh\nfor a in \"$@\"; do case $a in --ginkgo.json-report=*) out=${a#*=};; --ginkgo.focus=*) focus=${a#*=};; esac; done\n" + body
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Runner{Command: exec.CommandContext, Binary: path, Limit: time.Minute, LogDir: dir}
}

const onePassed = `echo '[{"SpecReports":[{"LeafNodeType":"It","LeafNodeText":"x","State":"passed"},{"LeafNodeType":"It","State":"skipped"}]}]' >$out
`

func TestRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body, message string
		state         types.SpecState
	}{
		"passed": {body: onePassed, state: types.SpecStatePassed},
		"died":   {body: "echo out of memory; exit 3", state: types.SpecStatePanicked, message: "exit status 3): out of memory"},
		"focus": {
			body:  `[ "$focus" = '^Kubernetes e2e suite \[sig-x\] a \(b\)$' ] || { echo "$focus"; exit 1; }` + "\n" + onePassed,
			state: types.SpecStatePassed,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := script(t, c.body).Run(t.Context(), Test{Name: "[sig-x] a (b)"})
			if err != nil {
				t.Fatal(err)
			}
			if got.State != c.state || !strings.Contains(got.Failure.Message, c.message) {
				t.Errorf("got %v %q", got.State, got.Failure.Message)
			}
		})
	}
}

// Serial tests run when no other does, and every test runs once.
func TestAllOrder(t *testing.T) {
	t.Parallel()
	r := script(t, onePassed)
	var mu sync.Mutex
	running, most := 0, 0
	r.Command = func(ctx context.Context, name string, args ...string) *exec.Cmd {
		mu.Lock()
		defer mu.Unlock()
		running++
		most = max(most, running)
		if serial := strings.Contains(strings.Join(args, " "), "serial"); serial && running > 1 {
			t.Error("a serial test runs beside others")
		}
		return exec.CommandContext(ctx, name, args...)
	}
	var tests []Test
	for i := range 8 {
		tests = append(tests, Test{Name: fmt.Sprint("serial", i), Serial: true}, Test{Name: fmt.Sprint("parallel", i)})
	}
	var ran []string
	err := r.All(t.Context(), tests, 3, func(test Test, _ types.SpecReport) error {
		mu.Lock()
		defer mu.Unlock()
		running--
		ran = append(ran, test.Name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if most > 3 {
		t.Errorf("%d tests ran at once", most)
	}
	slices.Sort(ran)
	if len(slices.Compact(ran)) != len(tests) {
		t.Errorf("ran %q", ran)
	}
}

func TestAllEndsAtAnError(t *testing.T) {
	t.Parallel()
	tests := []Test{{Name: "a"}, {Name: "b"}, {Name: "c", Serial: true}}
	n := 0
	err := script(t, onePassed).All(t.Context(), tests, 1, func(Test, types.SpecReport) error {
		n++
		return os.ErrClosed
	})
	if err == nil || n > 2 {
		t.Errorf("%d tests ran, error %v", n, err)
	}
}

func TestSIG(t *testing.T) {
	t.Parallel()
	if got := SIG("[sig-api-machinery] x [sig-node]"); got != "api-machinery" {
		t.Error(got)
	}
	if got := SIG("x"); got != "other" {
		t.Error(got)
	}
}
