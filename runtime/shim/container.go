package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/cgroups"
	"golang.org/x/sys/unix"
)

// Files in a container's directory.
const (
	stateFile = "state.json"
	// fifoFile is a pipe: the container's process waits, before its program, until
	// somebody reads from it.
	fifoFile = "exec.fifo"
)

// container is what runc has noted about one, as far as it matters here.
type container struct {
	dir string

	Init     int               `json:"init_process_pid"`
	Started  uint64            `json:"init_process_start"` // in ticks since the machine's start
	Cgroups  map[string]string `json:"cgroup_paths"`       // by controller; "" under version 2
	IntelRDT string            `json:"intel_rdt_path"`
	Config   struct {
		Namespaces []struct {
			Type string `json:"type"`
			Path string `json:"path"`
		} `json:"namespaces"`
		Cgroups struct {
			Systemd bool
		} `json:"cgroups"`
		Hooks           map[string][]json.RawMessage
		RootlessCgroups bool `json:"rootless_cgroups"`
	} `json:"config"`
}

func readContainer(dir string) (*container, error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if err != nil {
		return nil, err
	}
	c := &container{dir: dir}
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, stateFile), err)
	}
	return c, nil
}

var (
	// errProgram leaves to runc what is not plain.
	errProgram = errors.New("for runc to do")
	errEnded   = errors.New("the container has ended")
)

// ownPIDs tells whether the container's processes end with its first one.
func (c *container) ownPIDs() bool {
	for _, ns := range c.Config.Namespaces {
		if ns.Type == "NEWPID" {
			return ns.Path == ""
		}
	}
	return false
}

// hold returns a descriptor of the container's first process, or errEnded.
func (c *container) hold() (int, error) {
	fd, err := unix.PidfdOpen(c.Init, 0)
	if errors.Is(err, unix.ESRCH) {
		return -1, errEnded
	}
	if err != nil {
		return -1, err
	}
	// The number may be another process's by now; the descriptor cannot become it.
	state, started, err := processState(c.Init)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		err = errEnded
	case err == nil && (started != c.Started || state == 'Z' || state == 'X'):
		err = errEnded
	}
	if err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// processState reads the state and the start time of a process.
func processState(pid int) (state byte, started uint64, err error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return 0, 0, err
	}
	// The name, in parentheses, may have anything in it.
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 20 {
		return 0, 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	started, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return fields[0][0], started, err
}

// startTimeout is far more than the container's process needs to open a pipe, and
// then to become its program.
const startTimeout = time.Second

// start lets the container's process go on to its program.
func (c *container) start() error {
	process, err := c.hold()
	if err != nil {
		return err
	}
	defer unix.Close(process)
	path := filepath.Join(c.dir, fifoFile)
	fifo, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer unix.Close(fifo)
	if !letGo(fifo, process) {
		return errProgram
	}
	// A container is known as started by this pipe being gone.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// letGo reads from the pipe that a container's process waits on, until the process
// has closed it and goes on. It returns whether it does.
func letGo(fifo, process int) bool {
	// A pipe that no writer has had yet is not at its end: nothing is there to be
	// told until the process has opened it, or gone.
	wait := []unix.PollFd{{Fd: int32(fifo), Events: unix.POLLIN}, {Fd: int32(process), Events: unix.POLLIN}}
	written := false
	for deadline := time.Now().Add(startTimeout); ; {
		n, err := unix.Poll(wait, int(max(0, time.Until(deadline).Milliseconds())))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil || n == 0 || wait[0].Revents == 0 {
			return written
		}
		var b [8]byte
		n, err = unix.Read(fifo, b[:])
		if err != nil || n == 0 {
			return written
		}
		written = true
	}
}

// kill sends a signal to the container's first process.
func (c *container) kill(signal int) error {
	if unix.Signal(signal) == unix.SIGKILL && (!c.ownPIDs() || c.frozen()) {
		return errProgram
	}
	process, err := c.hold()
	if err != nil {
		return err
	}
	defer unix.Close(process)
	if unix.Signal(signal) != unix.SIGKILL {
		c.awaitProgram()
	}
	return unix.PidfdSendSignal(process, unix.Signal(signal), nil, 0)
}

// initName is what runc names the container's process before it becomes the program.
const initName = "runc:[2:INIT]\n"

// awaitProgram returns once the process of a container that has been started is its
// program. A signal that comes before meets runc, which ends by SIGTERM with a
// status of its own that means nothing to anybody. There is no event to wait for;
// it is a matter of microseconds, and only of signals right after a start.
func (c *container) awaitProgram() {
	if _, err := os.Stat(filepath.Join(c.dir, fifoFile)); err == nil {
		return // not started: runc is who the signal is for
	}
	comm := filepath.Join("/proc", strconv.Itoa(c.Init), "comm")
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline); time.Sleep(200 * time.Microsecond) {
		if name, err := os.ReadFile(comm); err != nil || string(name) != initName {
			return
		}
	}
}

// frozen tells whether the container may be paused in a way that SIGKILL does not
// end, which is so under version 1 of cgroups.
func (c *container) frozen() bool {
	dir := c.Cgroups["freezer"]
	if dir == "" {
		return false
	}
	b, err := os.ReadFile(filepath.Join(dir, "freezer.state"))
	return err != nil || string(bytes.TrimSpace(b)) != "THAWED"
}

// remove takes away what runc has made for a container that has ended.
func (c *container) remove() error {
	if !c.ownPIDs() || c.Config.Cgroups.Systemd || c.Config.RootlessCgroups || c.IntelRDT != "" || len(c.Config.Hooks["poststop"]) > 0 {
		return errProgram
	}
	if process, err := c.hold(); err == nil {
		unix.Close(process)
		return errProgram
	} else if !errors.Is(err, errEnded) {
		return err
	}
	if err := cgroups.RemovePaths(maps.Clone(c.Cgroups)); err != nil {
		return err
	}
	return os.RemoveAll(c.dir)
}
