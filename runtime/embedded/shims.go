package embedded

import (
	"bufio"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	api "github.com/containerd/containerd/api/runtime/sandbox/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/errdefs"
	"github.com/containerd/fifo"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"proa/runtime/internal/procs"
)

const (
	// spareTime is how long a shim stays that holds no pods any more: the next pod
	// often replaces the last.
	spareTime = time.Minute
	// shimTimeout bounds how long a shim takes to end.
	shimTimeout = 5 * time.Second
	// adoptTimeout bounds how long it takes to tell whether it is alive. Its pods
	// end if it does not, so this is more than a busy machine needs.
	adoptTimeout = 10 * time.Second
)

// shims are the processes that hold pods. They are started as they are needed,
// outlive this process, and are found again by the directory that each has.
//
// A pod is of one shim for all its life. The shim is fail-stop: when the
// connection to it breaks, it is killed if it still runs, and then its containers
// are ended, before anybody is told that its pods are dead.
type shims struct {
	conf Config
	dirs sandboxDirs
	log  *slog.Logger

	mu     sync.Mutex
	live   map[string]*podShim // by the shim's name
	dying  map[string]*podShim // those that are lost, until their containers have ended
	of     map[string]*podShim // by sandbox
	closed bool
	quit   chan struct{}  // closed with it
	work   sync.WaitGroup // what ends shims and what they leave
}

// podShim is one of them.
type podShim struct {
	name    string
	program string // which one it runs
	conn    *ttrpc.Client
	api     api.TTRPCSandboxService
	process []procs.Victim // itself, as long as it is not known to have ended
	log     io.Closer
	gone    chan struct{} // closed when it and its containers have ended

	// Guarded by shims.mu.
	pods  int
	spare *time.Timer // runs while there are none
}

func newShims(c Config) *shims {
	return &shims{
		conf: c, dirs: newSandboxDirs(c), log: c.Logger, quit: make(chan struct{}),
		live: map[string]*podShim{}, dying: map[string]*podShim{}, of: map[string]*podShim{},
	}
}

// dir is the working directory of a shim, and what it is found by.
func (p *shims) dir(name string) string { return filepath.Join(shimsDir(p.conf.State), name) }

func (p *shims) socket(name string) string {
	return filepath.Join(ShimSocketDir(p.conf.State), name)
}

func shimsDir(state string) string { return filepath.Join(state, "shims") }

// programFile in a shim's directory tells which program it runs.
const programFile = "program"

// address is where containerd reaches the shim for the pod's containers.
func (p *shims) address(s *podShim) string { return "ttrpc+unix://" + p.socket(s.name) }

// assign gives a sandbox a shim: the fullest that has room, so that others may
// become empty and end, or a new one.
func (p *shims) assign(sandbox string) (*podShim, error) {
	program, err := programOf(p.conf.shimPath())
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errdefs.ErrUnavailable
	}
	if p.of[sandbox] != nil {
		return nil, fmt.Errorf("sandbox %s: %w", sandbox, errdefs.ErrAlreadyExists)
	}
	s := pick(slices.Collect(maps.Values(p.live)), program, p.conf.PodsPerShim)
	if s == nil {
		if s, err = p.launch(program); err != nil {
			return nil, fmt.Errorf("start a shim: %w", err)
		}
		p.live[s.name] = s
	}
	if err := p.dirs.note(sandbox, s.name); err != nil {
		p.keepSpare(s)
		return nil, err
	}
	p.hold(s, sandbox)
	return s, nil
}

// pick chooses among shims; nil if none suits. After an upgrade the old ones keep
// the pods that they have, and get no others.
func pick(all []*podShim, program string, room int) *podShim {
	var best *podShim
	for _, s := range all {
		if s.program == program && s.pods < room && (best == nil || s.pods > best.pods) {
			best = s
		}
	}
	return best
}

// hold notes that a shim has a sandbox. The caller holds mu.
func (p *shims) hold(s *podShim, sandbox string) {
	p.of[sandbox] = s
	s.pods++
	if s.spare != nil {
		s.spare.Stop()
		s.spare = nil
	}
}

// keepSpare has the shim end if it is empty: after a while, or at once if another
// has room. The caller holds mu.
func (p *shims) keepSpare(s *podShim) {
	if s.pods > 0 || s.spare != nil {
		return
	}
	others := maps.Clone(p.live)
	delete(others, s.name)
	wait := spareTime
	if pick(slices.Collect(maps.Values(others)), s.program, p.conf.PodsPerShim) != nil {
		wait = 0
	}
	s.spare = time.AfterFunc(wait, func() { p.retire(s) })
}

// release takes a sandbox from its shim.
func (p *shims) release(sandbox string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.of[sandbox]
	if s == nil {
		return
	}
	delete(p.of, sandbox)
	s.pods--
	p.keepSpare(s)
}

// get is the shim that has a sandbox.
func (p *shims) get(sandbox string) (*podShim, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.of[sandbox]; s != nil {
		return s, nil
	}
	return nil, fmt.Errorf("sandbox %s has no shim: %w", sandbox, errdefs.ErrNotFound)
}

// programOf tells one build of the program from another.
func programOf(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("container runtime program missing (build it with make, or set BinDir): %w", err)
	}
	return fmt.Sprintf("%d-%d", info.Size(), info.ModTime().UnixNano()), nil
}

// launch starts a shim. It listens before it runs, so there is nothing to wait
// for. The caller holds mu: those who start pods at the same time share it.
func (p *shims) launch(program string) (_ *podShim, err error) {
	name := strings.ToLower(rand.Text()[:10])
	if err := os.MkdirAll(p.dir(name), 0o700); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.removeFiles(name))
		}
	}()
	if err := os.WriteFile(filepath.Join(p.dir(name), programFile), []byte(program), 0o600); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(ShimSocketDir(p.conf.State), 0o700); err != nil {
		return nil, err
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.socket(name), Net: "unix"})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false)
	defer l.Close()
	if err := os.Chmod(p.socket(name), 0o600); err != nil {
		return nil, err
	}
	inherited, err := l.File()
	if err != nil {
		return nil, err
	}
	defer inherited.Close()
	lines, err := p.readLog(name)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			lines.Close()
		}
	}()
	cmd := p.command(name)
	cmd.ExtraFiles = []*os.File{inherited}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &podShim{name: name, program: program, log: lines}
	s.process, err = procs.Hold([]int{cmd.Process.Pid})
	go cmd.Wait() //nolint:errcheck // the connection tells of its end
	if err == nil {
		err = shim.AdjustOOMScore(cmd.Process.Pid)
	}
	if err == nil {
		err = p.connect(s)
	}
	if err != nil {
		err = errors.Join(err, procs.Signal(s.process, unix.SIGKILL))
		procs.Release(s.process)
		return nil, err
	}
	return s, nil
}

// command is how a shared shim is run. It is told by its environment what
// containerd tells each of its own.
func (p *shims) command(name string) *exec.Cmd {
	cmd := exec.Command(p.conf.shimPath(), "-shared", "-namespace", criNamespace, "-id", name, "-address", p.conf.Socket)
	cmd.Dir = p.dir(name)
	cmd.Env = append(os.Environ(),
		"NAMESPACE="+criNamespace,
		"TTRPC_ADDRESS="+p.conf.ttrpcSocket(), "GRPC_ADDRESS="+p.conf.Socket)
	cmd.Env = append(cmd.Env, shimEnv(p.conf.BinDir)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// connect opens the connection to a running shim, which lives as long as either
// end.
func (p *shims) connect(s *podShim) error {
	conn, err := net.DialTimeout("unix", p.socket(s.name), shimTimeout)
	if err != nil {
		return err
	}
	s.gone = make(chan struct{})
	s.conn = ttrpc.NewClient(conn, ttrpc.WithOnClose(func() { p.lost(s) }))
	s.api = api.NewTTRPCSandboxClient(s.conn)
	return nil
}

// readLog opens the pipe that a shim writes its messages to. The shim keeps it
// open when this process ends, and the next one opens it again.
func (p *shims) readLog(name string) (io.Closer, error) {
	f, err := fifo.OpenFifo(context.Background(), filepath.Join(p.dir(name), "log"), unix.O_RDWR|unix.O_CREAT|unix.O_NONBLOCK, 0o700)
	if err != nil {
		return nil, err
	}
	go func() {
		for lines := bufio.NewScanner(f); lines.Scan(); {
			level := slog.LevelWarn
			if line := lines.Text(); strings.Contains(line, "level=info") || strings.Contains(line, "level=debug") {
				level = slog.LevelDebug
			}
			p.log.Log(context.Background(), level, "shim says", "shim", name, "line", lines.Text())
		}
	}()
	return f, nil
}

// adopt finds the shims that were started by a process before this one.
func (p *shims) adopt(ctx context.Context) error {
	entries, err := os.ReadDir(shimsDir(p.conf.State))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for shims: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range entries {
		s, err := p.adoptOne(ctx, e.Name())
		if err != nil {
			p.log.Error("a shim has ended beside the container runtime, or does not answer; so do its pods", "shim", e.Name(), "err", err)
			if err := p.abandon(e.Name()); err != nil {
				p.log.Error("containers of a dead shim may still run", "shim", e.Name(), "err", err)
			}
			continue
		}
		p.live[s.name] = s
	}
	for _, sandbox := range p.dirs.list() {
		if s := p.live[p.dirs.noted(sandbox)]; s != nil {
			p.hold(s, sandbox)
		}
	}
	for _, s := range p.live {
		p.keepSpare(s)
	}
	return nil
}

// abandon ends a shim that could not be adopted, and what it held.
func (p *shims) abandon(name string) error {
	all, err := procs.List()
	if err != nil {
		return err
	}
	var pids []int
	for _, proc := range all {
		if i := slices.Index(proc.Args, "-id"); isShimOf(proc, p.conf.Socket) && i >= 0 && i+1 < len(proc.Args) && proc.Args[i+1] == name {
			pids = append(pids, proc.PID)
		}
	}
	process, err := procs.Hold(pids)
	if err != nil {
		return err
	}
	defer procs.Release(process)
	if err := procs.Signal(process, unix.SIGKILL); err != nil {
		return err
	}
	procs.Wait(context.Background(), process, time.Now().Add(shimTimeout))
	held := map[string]bool{}
	for _, sandbox := range p.dirs.list() {
		if p.dirs.noted(sandbox) == name {
			held[sandbox] = true
		}
	}
	return errors.Join(endContainers(p.conf, held), p.removeFiles(name))
}

func (p *shims) adoptOne(ctx context.Context, name string) (_ *podShim, err error) {
	program, err := os.ReadFile(filepath.Join(p.dir(name), programFile))
	if err != nil {
		return nil, err
	}
	s := &podShim{name: name, program: string(program)}
	if s.log, err = p.readLog(name); err != nil {
		return nil, err
	}
	if err := p.connect(s); err != nil {
		return nil, errors.Join(err, s.log.Close())
	}
	ctx, cancel := context.WithTimeout(ctx, adoptTimeout)
	defer cancel()
	who, err := taskapi.NewTTRPCTaskClient(s.conn).Connect(ctx, &taskapi.ConnectRequest{})
	if err == nil {
		// It has answered a moment ago and its socket is open: the number is its.
		s.process, err = procs.Hold([]int{int(who.GetShimPid())})
	}
	if err != nil {
		return nil, errors.Join(err, s.conn.Close(), s.log.Close())
	}
	return s, nil
}

// retire ends a shim that holds nothing.
func (p *shims) retire(s *podShim) {
	p.mu.Lock()
	if p.closed || s.pods > 0 || p.live[s.name] != s {
		p.mu.Unlock()
		return
	}
	delete(p.live, s.name)
	p.work.Add(1)
	p.mu.Unlock()
	defer p.work.Done()
	if err := procs.Signal(s.process, unix.SIGTERM); err != nil {
		p.log.Warn("cannot end a shim that holds no pods", "shim", s.name, "err", err)
	}
	p.bury(s)
}

// awaitEnd returns when a container has ended whose connection to its shim is
// closed, or an error if that cannot be said. A shim of one pod, which containerd
// started, is not known here: what it left is ended on the spot.
func (p *shims) awaitEnd(ctx context.Context, shim, container string) error {
	p.mu.Lock()
	s, alive := p.live[shim]
	if !alive {
		s = p.dying[shim]
	}
	p.mu.Unlock()
	if s == nil {
		return endContainer(p.conf, container)
	}
	if alive {
		// Only this one connection may have been closed.
		if _, err := s.api.PingSandbox(ctx, &api.PingRequest{}); err == nil {
			return fmt.Errorf("shim %s is alive: %w", shim, errdefs.ErrFailedPrecondition)
		}
	}
	select {
	case <-s.gone:
		return nil
	case <-p.quit:
		return errdefs.ErrUnavailable
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lost is called when the connection to a shim has closed.
func (p *shims) lost(s *podShim) {
	p.mu.Lock()
	if p.closed || p.live[s.name] != s {
		p.mu.Unlock()
		return
	}
	delete(p.live, s.name)
	p.dying[s.name] = s
	held := map[string]bool{}
	for sandbox, of := range p.of {
		if of == s {
			held[sandbox] = true
		}
	}
	p.work.Add(1)
	p.mu.Unlock()
	go func() {
		defer p.work.Done()
		p.log.Error("a shim has ended; so do its pods", "shim", s.name, "pods", len(held))
		// Nobody can speak to it any more, even if it still runs.
		if err := procs.Signal(s.process, unix.SIGKILL); err != nil {
			p.log.Error("cannot kill a shim", "shim", s.name, "err", err)
		}
		p.bury(s)
		if err := endContainers(p.conf, held); err != nil {
			p.log.Error("containers of a dead shim may still run", "shim", s.name, "err", err)
		}
		p.mu.Lock()
		delete(p.dying, s.name)
		for sandbox := range held {
			if p.of[sandbox] == s {
				delete(p.of, sandbox)
			}
		}
		p.mu.Unlock()
		close(s.gone)
	}()
}

// bury waits for the end of a shim that was told to, and removes its files.
func (p *shims) bury(s *podShim) {
	left := procs.Wait(context.Background(), s.process, time.Now().Add(shimTimeout))
	if err := procs.Signal(left, unix.SIGKILL); err != nil {
		p.log.Error("cannot kill a shim", "shim", s.name, "err", err)
	}
	procs.Release(s.process)
	if err := errors.Join(s.conn.Close(), s.log.Close(), p.removeFiles(s.name)); err != nil {
		p.log.Warn("cannot remove what a shim has left", "shim", s.name, "err", err)
	}
}

func (p *shims) removeFiles(name string) error {
	return errors.Join(removeFile(p.socket(name)), os.RemoveAll(p.dir(name)))
}

// Close lets go of the shims, which go on.
func (p *shims) Close() error {
	p.mu.Lock()
	p.closed = true
	close(p.quit)
	live := slices.Collect(maps.Values(p.live))
	for _, s := range live {
		if s.spare != nil {
			s.spare.Stop()
		}
	}
	p.mu.Unlock()
	p.work.Wait()
	var errs []error
	for _, s := range live {
		errs = append(errs, s.conn.Close(), s.log.Close())
		procs.Release(s.process)
	}
	return errors.Join(errs...)
}
