package runtimetest

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"

	"proa/runtime/embedded"
)

// childEnv carries the configuration to a child process.
const childEnv = "PROA_RUNTIMETEST_CHILD"

// Main is to be called by TestMain of a package that uses StartChild: it turns a
// child of the test binary into a runtime.
//
//	func TestMain(m *testing.M) { runtimetest.Main(m) }
func Main(m *testing.M) {
	if conf := os.Getenv(childEnv); conf != "" {
		if err := runChild(conf); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Child is a runtime in another process.
type Child struct {
	cmd   *exec.Cmd
	stdin io.Closer
}

// readyLine is what a child says once its runtime is ready.
const readyLine = "ready"

// StartChild starts the runtime of e in a child process, waits until it is ready,
// and imports Proa's images the first time. It ends with the test, if not before.
func (e *Env) StartChild(t testing.TB) *Child {
	t.Helper()
	conf := e.Config
	conf.Logger = nil
	b, err := json.Marshal(conf)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), childEnv+"="+string(b))
	cmd.Stderr = testWriter{t}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &Child{cmd: cmd, stdin: stdin}
	t.Cleanup(c.Kill)
	s := bufio.NewScanner(stdout)
	for s.Scan() {
		if s.Text() == readyLine {
			if !e.imported {
				e.ImportImages(t)
				e.imported = true
			}
			return c
		}
	}
	t.Fatal("the runtime's process ended before it was ready")
	return nil
}

// Kill ends the process with SIGKILL, and waits until it is gone.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	c.stdin.Close()
}

// runChild runs a runtime until its parent is gone, which closes its input.
func runChild(config string) error {
	var conf embedded.Config
	if err := json.Unmarshal([]byte(config), &conf); err != nil {
		return err
	}
	conf.Logger = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM)
	defer stop()
	r, err := embedded.Start(ctx, conf)
	if err != nil {
		return err
	}
	defer r.Stop()
	if err := r.WaitReady(ctx); err != nil {
		return err
	}
	fmt.Println(readyLine)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}
