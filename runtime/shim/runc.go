package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	runc "github.com/containerd/go-runc"
)

// direct stands between containerd's service and the program runc. A container's
// start, its signals and its deletion are a few system calls each, for which runc
// takes some milliseconds of CPU to come up; they are made here. All the rest,
// and whatever is not as plain as it usually is, is left to the program: it also
// says what is wrong, so that errors are runc's own.
type direct struct {
	runc.ProcessMonitor

	mu sync.Mutex
	// done are the commands that needed no program, until they are waited for.
	done map[*exec.Cmd]bool
}

func newDirect(m runc.ProcessMonitor) *direct {
	return &direct{ProcessMonitor: m, done: map[*exec.Cmd]bool{}}
}

var _ runc.ProcessMonitor = (*direct)(nil)

// Start carries a command out, or starts its program.
func (d *direct) Start(cmd *exec.Cmd) (chan runc.Exit, error) {
	if d.carriedOut(cmd) {
		return nil, nil
	}
	return d.ProcessMonitor.Start(cmd)
}

// StartLocked is Start for programs that end with their parent.
func (d *direct) StartLocked(cmd *exec.Cmd) (chan runc.Exit, error) {
	if d.carriedOut(cmd) {
		return nil, nil
	}
	return d.ProcessMonitor.StartLocked(cmd)
}

// Wait returns the exit status of a command.
func (d *direct) Wait(cmd *exec.Cmd, exits chan runc.Exit) (int, error) {
	d.mu.Lock()
	mine := d.done[cmd]
	delete(d.done, cmd)
	d.mu.Unlock()
	if mine {
		return 0, nil
	}
	return d.ProcessMonitor.Wait(cmd, exits)
}

// carriedOut tells whether a command has been carried out without its program.
func (d *direct) carriedOut(cmd *exec.Cmd) bool {
	call, ok := parseCall(cmd.Args)
	if !ok || call.do() != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.done[cmd] = true
	return true
}

// call is a command of runc that may need no program.
type call struct {
	dir    string // the container's, with what runc knows of it
	action string // start, kill or delete
	signal int    // of kill
	all    bool   // a kill that takes it as done if there is nobody to signal
}

// parseCall reads the arguments of runc as go-runc writes them. Whatever it does
// not know is for the program.
func parseCall(args []string) (call, bool) {
	var root string
	args = args[min(1, len(args)):]
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "--root":
			root = args[1]
		case "--log", "--log-format": // for errors
		default:
			return call{}, false
		}
		args = args[2:]
	}
	var all bool
	if len(args) > 1 && args[0] == "kill" && args[1] == "--all" {
		all, args = true, slices.Delete(slices.Clone(args), 1, 2)
	}
	if !filepath.IsAbs(root) || len(args) < 2 || strings.HasPrefix(args[1], "-") {
		return call{}, false
	}
	id := args[1]
	if id != filepath.Base(id) || id == "." || id == ".." {
		return call{}, false
	}
	c := call{dir: filepath.Join(root, id), action: args[0], all: all}
	switch {
	case c.action == "kill" && len(args) == 3:
		var err error
		c.signal, err = strconv.Atoi(args[2])
		return c, err == nil && c.signal > 0
	case c.action == "start" && len(args) == 2:
		// With it, runc start waits for a service manager's sake.
		return c, os.Getenv("NOTIFY_SOCKET") == ""
	case c.action == "delete" && len(args) == 2:
		return c, true
	}
	return call{}, false
}

// do carries the command out. An error says why the program has to: it then finds
// the container as it was, or further on the way to where the command leads.
func (c call) do() error {
	container, err := readContainer(c.dir)
	if err != nil {
		return err
	}
	switch c.action {
	case "start":
		return container.start()
	case "kill":
		err := container.kill(c.signal)
		if c.all && errors.Is(err, errEnded) {
			return nil // containerd makes sure of every end that it is told of
		}
		return err
	case "delete":
		return container.remove()
	}
	return fmt.Errorf("no such action: %s", c.action)
}
