package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// program is a command that runs while the test goes on.
type program struct {
	u    *user
	line string
	cmd  *exec.Cmd
	// in is where it reads from; master is its terminal, or nil.
	in     io.WriteCloser
	master *os.File

	mu      sync.Mutex
	out     []byte
	from    int // what expect has not looked at begins here
	changed chan struct{}
	ended   chan struct{}
	err     error
}

// start runs a kubectl in the background, ended with the test.
func (u *user) start(args ...string) *program {
	u.t.Helper()
	return u.launch(false, u.line(args...)...)
}

// terminal runs a kubectl in a terminal of 24 rows and 80 columns.
func (u *user) terminal(args ...string) *program {
	u.t.Helper()
	return u.launch(true, u.line(args...)...)
}

func (u *user) launch(terminal bool, line ...string) *program {
	u.t.Helper()
	ctx, cancel := context.WithCancel(u.t.Context())
	p := &program{u: u, line: strings.Join(line, " "), cmd: u.inside(ctx, line[0], line[1:]...), changed: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.WaitDelay = time.Second
	var out io.Reader
	var slave *os.File
	if terminal {
		var err error
		if p.master, slave, err = openTerminal(); err != nil {
			u.t.Fatal(err)
		}
		p.in, out = p.master, p.master
		p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = slave, slave, slave
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
		p.resize(24, 80)
	} else {
		r, w, err := os.Pipe()
		if err != nil {
			u.t.Fatal(err)
		}
		if p.in, err = p.cmd.StdinPipe(); err != nil {
			u.t.Fatal(err)
		}
		out, slave, p.cmd.Stdout, p.cmd.Stderr = r, w, w, w
	}
	if err := p.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	if err := slave.Close(); err != nil {
		u.t.Fatal(err)
	}
	go p.read(out)
	u.t.Cleanup(func() {
		cancel()
		<-p.ended
	})
	return p
}

// read takes in what the program prints, until it has ended.
func (p *program) read(out io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := out.Read(buf) // a terminal without programs answers with EIO
		p.mu.Lock()
		p.out = append(p.out, buf[:n]...)
		close(p.changed)
		p.changed = make(chan struct{})
		p.mu.Unlock()
		if err != nil {
			break
		}
	}
	p.err = p.cmd.Wait()
	if c, ok := out.(io.Closer); ok {
		_ = c.Close()
	}
	close(p.ended)
}

// expect waits until the program has printed text, after what was expected
// before, and returns all up to its end.
func (p *program) expect(text string) string {
	p.u.t.Helper()
	limit := time.After(patience)
	for {
		p.mu.Lock()
		i := strings.Index(string(p.out[p.from:]), text)
		got, changed := string(p.out[p.from:]), p.changed
		if i >= 0 {
			p.from += i + len(text)
			p.mu.Unlock()
			return got[:i+len(text)]
		}
		p.mu.Unlock()
		select {
		case <-changed:
		case <-p.ended:
			select {
			case <-changed: // printed on the way out
				continue
			default:
			}
			p.u.t.Fatalf("%s ended (%v) without printing %q:\n%s", p.line, p.err, text, got)
		case <-limit:
			p.u.t.Fatalf("%s does not print %q:\n%s", p.line, text, got)
		}
	}
}

// typed sends text to the program.
func (p *program) typed(text string) {
	p.u.t.Helper()
	if _, err := io.WriteString(p.in, text); err != nil {
		p.u.t.Fatalf("write to %s: %v", p.line, err)
	}
}

// resize changes the size of the terminal, of which the kernel tells the
// program.
func (p *program) resize(rows, columns uint16) {
	p.u.t.Helper()
	if err := unix.IoctlSetWinsize(int(p.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		p.u.t.Fatal(err)
	}
}

// wait waits until the program has ended, and returns its exit code.
func (p *program) wait() int {
	p.u.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.u.t.Fatalf("%s does not end:\n%s", p.line, p.all())
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) {
		p.u.t.Fatalf("%s: %v", p.line, p.err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// interrupt stops the program as Ctrl-C does.
func (p *program) interrupt() {
	p.u.t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		p.u.t.Fatal(err)
	}
}

func (p *program) all() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.out)
}

// openTerminal makes a pair of a terminal and what is behind it.
func openTerminal() (master, slave *os.File, err error) {
	// Not in non-blocking mode: Fd would change it anyway.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open a terminal: %w", err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("unlock a terminal: %w", err), master.Close())
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("number of a terminal: %w", err), master.Close())
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, nil, errors.Join(err, master.Close())
	}
	return master, slave, nil
}
