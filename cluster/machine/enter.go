package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"

	"golang.org/x/sys/unix"
)

// onThread runs f on an operating system thread of its own, which ends with it:
// whatever f does to the thread's namespaces, nobody else sees it.
func onThread(f func() error) error {
	done := make(chan error)
	go func() {
		// Never unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		done <- f()
	}()
	return <-done
}

// become puts the calling thread, and what it executes, onto the machine.
func (m Machine) become() error {
	ns, err := os.Open(m.Namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", m.Namespace, err)
	}
	if err := unix.Unshare(unix.CLONE_NEWUTS); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	if err := unix.Sethostname([]byte(m.Name)); err != nil {
		return fmt.Errorf("host name: %w", err)
	}
	return nil
}

// Do calls f on the machine: what f opens and the programs that it runs itself
// (not by way of another goroutine) have the machine's network and host name.
func (m Machine) Do(f func() error) error {
	return onThread(func() error {
		if err := m.become(); err != nil {
			return fmt.Errorf("enter %s: %w", m.Name, err)
		}
		return f()
	})
}

// Start starts a program on the machine. Its SysProcAttr must not ask for the
// child's end with its parent thread (Pdeathsig).
func (m Machine) Start(cmd *exec.Cmd) error { return m.Do(cmd.Start) }

// Exec replaces this process by a program on the machine, under the same process
// id. It returns only on failure.
func (m Machine) Exec(path string, args, env []string) error {
	err := m.Do(func() error {
		return unix.Exec(path, args, env)
	})
	if err == nil {
		err = errors.New("exec returned")
	}
	return err
}
