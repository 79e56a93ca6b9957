package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// roomAddress is the node's, from the range kept for documentation: it exists
// in the namespace only.
const roomAddress = "192.0.2.20"

// endGrace is how long the inner process has to stop and remove its cluster.
const endGrace = 2 * time.Minute

// runInRoom runs this program again in a network namespace that exists only
// for it. It enters with nsenter, since "ip netns exec" would also mount a new
// /sys, which has no cgroups.
func runInRoom(ctx context.Context, args []string) (err error) {
	name := fmt.Sprintf("proa-bench-%d", os.Getpid())
	cleanup := context.WithoutCancel(ctx)
	if err := ip(ctx, "netns", "add", name); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ip(cleanup, "netns", "del", name)) }()
	for _, step := range [][]string{
		{"-n", name, "link", "set", "lo", "up"},
		// A bridge without ports: every kernel that runs pods has it, which
		// is not so of a dummy device.
		{"-n", name, "link", "add", "bench0", "type", "bridge"},
		{"-n", name, "addr", "add", roomAddress + "/24", "dev", "bench0"},
		{"-n", name, "link", "set", "bench0", "up"},
	} {
		if err := ip(ctx, step...); err != nil {
			return err
		}
	}
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{"--net=/run/netns/" + name, exe, "-room", name}, args...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	// In a group of its own it gets an interrupt from here, exactly once.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endGrace
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the measurement has failed: %w", err)
	}
	return nil
}

func ip(ctx context.Context, args ...string) error {
	if out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
