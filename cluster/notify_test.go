package cluster

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	var pipe bytes.Buffer
	n := NewNotifier(&pipe, time.Now())
	var all sync.WaitGroup
	for _, step := range []string{StepStore, StepRuntime} {
		all.Go(func() { n.Reached(step, "") })
	}
	all.Wait()
	n.Reached(StepReady, "done")
	n.Reached(StepNode, "never read")
	seen := map[string]bool{}
	if last := ReadProgress(&pipe, func(p Progress) { seen[p.Step] = true }); last.Step != StepReady || last.Detail != "done" {
		t.Errorf("the last is %+v", last)
	}
	if !seen[StepStore] || !seen[StepRuntime] || seen[StepNode] {
		t.Errorf("seen: %v", seen)
	}
}

func TestProgressOfFailures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ in, detail string }{
		"said":    {`{"step":"failed","detail":"the disk is full"}` + "\n", "the disk is full"},
		"died":    {`{"step":"store"}` + "\n", "the server ended during its start"},
		"garbage": {"panic: oops\n", "the server ended during its start"},
		"nothing": {"", "the server ended during its start"},
	} {
		if last := ReadProgress(strings.NewReader(c.in), func(Progress) {}); last.Step != StepFailed || last.Detail != c.detail {
			t.Errorf("%s: %+v", name, last)
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

// Nobody need listen.
func TestNotifierWithoutReader(t *testing.T) {
	t.Parallel()
	var none *Notifier
	none.Reached(StepReady, "")
	new(Notifier).Reached(StepReady, "")
	NewNotifier(brokenPipe{}, time.Now()).Reached(StepReady, "")
}
