package main

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	runc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"
)

func TestParseCall(t *testing.T) {
	for _, tt := range []struct {
		args string
		want call
		ok   bool
	}{
		{"runc --root /r --log /l --log-format json start c", call{dir: "/r/c", action: "start"}, true},
		{"runc --root /r kill c 15", call{dir: "/r/c", action: "kill", signal: 15}, true},
		{"runc --root /r delete c", call{dir: "/r/c", action: "delete"}, true},
		{"runc --root /r kill --all c 9", call{dir: "/r/c", action: "kill", signal: 9, all: true}, true},
		{"runc --root /r delete --all c", call{}, false},
		{"runc --root /r kill c TERM", call{}, false},
		{"runc --root /r kill c 0", call{}, false},
		{"runc --root /r delete --force c", call{}, false},
		{"runc --root /r --systemd-cgroup delete c", call{}, false},
		{"runc --root /r --debug start c", call{}, false},
		{"runc --root /r start ..", call{}, false},
		{"runc --root /r start a/b", call{}, false},
		{"runc --root r start c", call{}, false},
		{"runc start c", call{}, false},
		{"runc --root /r create --bundle /b c", call{}, false},
		{"runc --root /r exec c ls", call{}, false},
		{"runc --root /r start", call{}, false},
		{"runc", call{}, false},
		{"", call{}, false},
	} {
		got, ok := parseCall(strings.Fields(tt.args))
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: %+v, %v, want %+v, %v", tt.args, got, ok, tt.want, tt.ok)
		}
	}
}

// programs notes the commands that were given to the program.
type programs struct{ given []string }

func (p *programs) Start(cmd *exec.Cmd) (chan runc.Exit, error) {
	p.given = append(p.given, strings.Join(cmd.Args[3:], " "))
	return make(chan runc.Exit), nil
}
func (p *programs) StartLocked(cmd *exec.Cmd) (chan runc.Exit, error) { return p.Start(cmd) }
func (p *programs) Wait(*exec.Cmd, chan runc.Exit) (int, error)       { return 7, nil }

// waiting makes a container as runc create leaves it: a process that waits for a
// reader of the pipe. Its program is a shell that says when it has been told to
// terminate by the status with which it ends.
func waiting(t *testing.T, change func(map[string]any)) (*exec.Cmd, string) {
	t.Helper()
	dir, fifo := room(t)
	cmd := exec.Command("sh", "-c", `trap 'exit 3' TERM; printf 0 > "$0"; while :; do read x; done`, fifo)
	noted(t, cmd, dir, change)
	return cmd, dir
}

// room is a container's directory, with the pipe.
func room(t *testing.T) (dir, fifo string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "c")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	fifo = filepath.Join(dir, fifoFile)
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, fifo
}

// noted starts the process of a container, and writes what runc create notes of it.
// The process's standard input is returned, and stays open.
func noted(t *testing.T, cmd *exec.Cmd, dir string, change func(map[string]any)) io.Writer {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close(); cmd.Process.Kill(); cmd.Wait() })
	_, started, err := processState(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	state := map[string]any{
		"init_process_pid": cmd.Process.Pid, "init_process_start": started, "cgroup_paths": map[string]string{},
		"config": map[string]any{"namespaces": []map[string]string{{"type": "NEWNS"}, {"type": "NEWPID"}}, "cgroups": map[string]any{}},
	}
	if change != nil {
		change(state)
	}
	b, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, stateFile), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return stdin
}

// ask runs a command of runc for the container in dir, and returns its status: 7
// is that of the program.
func ask(t *testing.T, d *direct, dir string, args ...string) int {
	t.Helper()
	cmd := exec.Command("runc", append([]string{"--root", filepath.Dir(dir)}, args...)...)
	exits, err := d.StartLocked(cmd)
	if err != nil {
		t.Fatal(err)
	}
	status, err := d.Wait(cmd, exits)
	if err != nil {
		t.Fatal(err)
	}
	return status
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// A container's life without the program.
func TestPlainContainer(t *testing.T) {
	t.Parallel()
	process, dir := waiting(t, nil)
	program := &programs{}
	d := newDirect(program)
	if ask(t, d, dir, "start", "c") != 0 || exists(filepath.Join(dir, fifoFile)) {
		t.Fatalf("not started: %v", program.given)
	}
	if ask(t, d, dir, "start", "c") != 7 {
		t.Error("started twice")
	}
	if ask(t, d, dir, "delete", "c") != 7 || !exists(dir) {
		t.Error("deleted while it runs")
	}
	if ask(t, d, dir, "kill", "c", "15") != 0 {
		t.Error("not told to end")
	}
	// A process that nobody has waited for has ended all the same.
	for {
		state, _, err := processState(process.Process.Pid)
		if err != nil {
			t.Fatal(err)
		}
		if state == 'Z' {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if ask(t, d, dir, "kill", "c", "15") != 7 || ask(t, d, dir, "kill", "--all", "c", "9") != 0 {
		t.Error("a signal to what has ended must be an error, unless it is to all that may be left")
	}
	if ask(t, d, dir, "delete", "c") != 0 || exists(dir) {
		t.Error("not deleted")
	}
	if ask(t, d, dir, "delete", "c") != 7 {
		t.Error("deleted what is not there")
	}
	if err := process.Wait(); process.ProcessState.ExitCode() != 3 {
		t.Errorf("ended with %v", err)
	}
	if len(d.done) > 0 {
		t.Errorf("%d commands are kept that were waited for", len(d.done))
	}
}

// A signal right after the start is for the program: runc, which the process is for
// a moment longer, would end by it.
func TestSignalAfterStart(t *testing.T) {
	t.Parallel()
	dir, fifo := room(t)
	cmd := exec.Command("sh", "-c", `status=2; trap 'exit $status' TERM; printf 'runc:[2:INIT]' > /proc/$$/comm
		printf 0 > "$0"; read x; status=3; printf program > /proc/$$/comm; while :; do read x; done`, fifo)
	stdin := noted(t, cmd, dir, nil)
	d := newDirect(&programs{})
	if ask(t, d, dir, "start", "c") != 0 {
		t.Fatal("not started")
	}
	go io.WriteString(stdin, "become the program\n") //nolint:errcheck // the test fails if it does
	if ask(t, d, dir, "kill", "c", "15") != 0 {
		t.Error("not told to end")
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 3 {
		t.Errorf("ended with %v", err)
	}
}

// What is left to the program, and left as it was.
func TestOddContainers(t *testing.T) {
	t.Parallel()
	config := func(f func(map[string]any)) func(map[string]any) {
		return func(state map[string]any) { f(state["config"].(map[string]any)) }
	}
	sharedPIDs := config(func(c map[string]any) {
		c["namespaces"] = []map[string]string{{"type": "NEWPID", "path": "/proc/1/ns/pid"}}
	})
	hostPIDs := config(func(c map[string]any) { c["namespaces"] = []map[string]string{} })
	frozen := t.TempDir()
	if err := os.WriteFile(filepath.Join(frozen, "freezer.state"), []byte("FROZEN\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(map[string]any)
		ended  bool
		args   []string
	}{
		"start of another process":  {func(s map[string]any) { s["init_process_start"] = 1 }, false, []string{"start", "c"}},
		"start of no process":       {nil, true, []string{"start", "c"}},
		"signal to another process": {func(s map[string]any) { s["init_process_start"] = 1 }, false, []string{"kill", "c", "9"}},
		"kill with shared PIDs":     {sharedPIDs, false, []string{"kill", "c", "9"}},
		"kill with the host's PIDs": {hostPIDs, false, []string{"kill", "c", "9"}},
		"kill all with shared PIDs": {sharedPIDs, true, []string{"kill", "--all", "c", "9"}},
		"kill of a paused one":      {func(s map[string]any) { s["cgroup_paths"] = map[string]string{"freezer": frozen} }, false, []string{"kill", "c", "9"}},
		"delete with shared PIDs":   {sharedPIDs, true, []string{"delete", "c"}},
		"delete with a hook": {config(func(c map[string]any) {
			c["Hooks"] = map[string]any{"poststop": []map[string]string{{"path": "/bin/true"}}}
		}), true, []string{"delete", "c"}},
		"delete under systemd": {config(func(c map[string]any) { c["cgroups"] = map[string]any{"Systemd": true} }), true, []string{"delete", "c"}},
		"delete with resctrl":  {func(s map[string]any) { s["intel_rdt_path"] = "/sys/fs/resctrl/c" }, true, []string{"delete", "c"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			process, dir := waiting(t, tt.change)
			if tt.ended {
				process.Process.Kill()
				process.Wait()
			}
			if got := ask(t, newDirect(&programs{}), dir, tt.args...); got != 7 {
				t.Errorf("%v was carried out", tt.args)
			}
			if _, _, err := processState(process.Process.Pid); (err != nil) != tt.ended {
				t.Errorf("the process: %v", err)
			}
			if !exists(filepath.Join(dir, fifoFile)) {
				t.Error("the container's files are gone")
			}
		})
	}
}
