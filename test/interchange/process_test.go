package interchange

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	// patience bounds everything that is waited for, on a busy machine.
	patience = 2 * time.Minute
	// endGrace is how long a process has to end after SIGTERM.
	endGrace = 20 * time.Second
)

// process is a part that runs.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start runs a program until the test ends. A log of its output lies in dir.
func start(t *testing.T, dir, name, program string, args ...string) *process {
	t.Helper()
	p := &process{name: name, log: filepath.Join(dir, name+".log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		t.Fatal(err)
	}
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	// An interrupt of the terminal must not reach it before the test.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	err = p.cmd.Start()
	out.Close()
	if err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // how it ended is told by ended
	}()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop ends the process, and tells the end of its log if the test has failed.
func (p *process) stop(t *testing.T) {
	select {
	case <-p.done:
	default:
		if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("end %s: %v", p.name, err)
		}
		select {
		case <-p.done:
		case <-time.After(endGrace):
			t.Logf("%s does not end when asked to; it is killed", p.name)
			_ = p.cmd.Process.Kill() // it may have ended meanwhile
			<-p.done
		}
	}
	if t.Failed() {
		t.Logf("end of the log of %s (%v):\n%s", p.name, p.cmd.ProcessState, p.tail(25))
	}
}

// tail is the end of the log.
func (p *process) tail(lines int) string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// until asks again and again, since another program's inside gives no event,
// whether what is waited for has come, and fails the test when it does not or
// when one of the processes that bring it about has ended.
func until(t *testing.T, what string, by []*process, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return
		}
		for _, p := range by {
			select {
			case <-p.done:
				t.Fatalf("%s: %s has ended (%v):\n%s", what, p.name, p.cmd.ProcessState, p.tail(10))
			default:
			}
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s does not come: %v", what, err)
		case <-tick.C:
		}
	}
}
