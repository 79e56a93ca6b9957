package cluster

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"
)

// Progress is one line that a starting server writes to the process that
// waits for it.
type Progress struct {
	// Step that has been reached: see the constants.
	Step string `json:"step"`
	// After is the time since the server's start.
	After time.Duration `json:"after"`
	// Detail is for people; for StepFailed it is the error.
	Detail string `json:"detail,omitempty"`
}

// The steps of a start. StepReady comes last, StepFailed instead of it.
const (
	StepStore   = "store"
	StepRuntime = "runtime"
	StepAPI     = "api"
	StepNode    = "node"
	StepReady   = "ready"
	StepFailed  = "failed"
)

// Notifier writes Progress lines. The zero value and nil write nothing. Safe
// for concurrent use.
type Notifier struct {
	mu    sync.Mutex
	w     io.Writer
	start time.Time
}

// NewNotifier reports to w, counting from start.
func NewNotifier(w io.Writer, start time.Time) *Notifier { return &Notifier{w: w, start: start} }

// Reached reports a step. A reader that has gone away is no error.
func (n *Notifier) Reached(step, detail string) {
	if n == nil || n.w == nil {
		return
	}
	line, err := json.Marshal(Progress{Step: step, After: time.Since(n.start), Detail: detail})
	if err != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	_, _ = n.w.Write(append(line, '\n'))
}

// files is what n writes to, for the next program of this process.
func (n *Notifier) files() []*os.File {
	if n == nil {
		return nil
	}
	if f, ok := n.w.(*os.File); ok {
		return []*os.File{f}
	}
	return nil
}

// ReadProgress calls f for each line until StepReady, StepFailed or the end of
// r, and returns the last one. The end of r without either means that the
// server has died.
func ReadProgress(r io.Reader, f func(Progress)) (last Progress) {
	s := bufio.NewScanner(r)
	for s.Scan() {
		var p Progress
		if json.Unmarshal(s.Bytes(), &p) != nil {
			continue
		}
		last = p
		f(p)
		if p.Step == StepReady || p.Step == StepFailed {
			return last
		}
	}
	return Progress{Step: StepFailed, Detail: "the server ended during its start"}
}
