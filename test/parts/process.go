package parts

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// endGrace is how long a process has to end after SIGTERM.
const endGrace = 20 * time.Second

// Process is a part that runs.
type Process struct {
	Name string
	// Done is closed when it has ended.
	Done <-chan struct{}

	log string
	cmd *exec.Cmd
}

// Run starts a program. A log of its output lies in dir.
func Run(dir, name, program string, args ...string) (*Process, error) {
	p := &Process{Name: name, log: filepath.Join(dir, name+".log")}
	// A second start adds to what the first has said.
	out, err := os.OpenFile(p.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer out.Close()
	p.cmd = exec.Command(program, args...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	// An interrupt of the terminal must not reach it before its owner.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	done := make(chan struct{})
	p.Done = done
	go func() {
		defer close(done)
		_ = p.cmd.Wait() // how it ended is told by State
	}()
	return p, nil
}

// PID is the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// State says how the process has ended.
func (p *Process) State() string {
	select {
	case <-p.Done:
		return p.cmd.ProcessState.String()
	default:
		return "running"
	}
}

// Stop asks the process to end, and kills it where it does not in time, which is
// an error.
func (p *Process) Stop() error {
	select {
	case <-p.Done:
		return nil
	default:
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.Name, err)
	}
	select {
	case <-p.Done:
		return nil
	case <-time.After(endGrace):
		_ = p.cmd.Process.Kill() // it may have ended meanwhile
		<-p.Done
		return fmt.Errorf("%s did not end when asked to, and was killed", p.Name)
	}
}

// Tail is the end of the log.
func (p *Process) Tail(lines int) string {
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// askEvery is the time between two questions of Until.
const askEvery = 20 * time.Millisecond

// Until asks again and again, since another program's inside gives no event,
// whether what is waited for has come. It fails when ctx ends, or when one of
// the processes that bring it about has.
func Until(ctx context.Context, what string, by []*Process, ask func(context.Context) error) error {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return nil
		}
		for _, p := range by {
			select {
			case <-p.Done:
				return fmt.Errorf("%s: %s has ended (%s):\n%s", what, p.Name, p.State(), p.Tail(10))
			default:
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s does not come: %w", what, err)
		case <-tick.C:
		}
	}
}
