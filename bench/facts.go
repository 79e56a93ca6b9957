package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// facts are what a reader must know to compare two runs.
type facts struct {
	date       time.Time
	cores      int
	memory     uint64 // bytes
	kernel     string
	goVersion  string
	commit     string
	loadBefore float64 // of one minute
	loadAfter  float64
}

func readFacts(ctx context.Context, now time.Time) (facts, error) {
	f := facts{date: now.UTC(), cores: runtime.NumCPU(), goVersion: runtime.Version(), loadBefore: readLoad()}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return f, fmt.Errorf("kernel version: %w", err)
	}
	f.kernel = unix.ByteSliceToString(u.Release[:])
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return f, fmt.Errorf("memory size: %w", err)
	}
	f.memory = si.Totalram * uint64(si.Unit)
	out, err := exec.CommandContext(ctx, "git", "describe", "--tags", "--always", "--dirty").Output()
	if err != nil {
		out = []byte("unknown") // a source archive
	}
	f.commit = strings.TrimSpace(string(out))
	return f, nil
}

// busyBefore is the load of a core from which a run counts as disturbed before
// it has begun.
const busyBefore = 0.25

func (f facts) String() string {
	s := fmt.Sprintf("%d cores, %d GB, Linux %s, %s, commit %s.\n", f.cores, f.memory>>30, f.kernel, f.goVersion, f.commit)
	s += fmt.Sprintf("Load average %.1f before and %.1f after.\n", f.loadBefore, f.loadAfter)
	if f.loadBefore > busyBefore*float64(f.cores) {
		s += "**The machine was busy with other work**: times and rates are worse than on a\nquiet one.\n"
	}
	return s
}

// readLoad is the load average of the last minute, 0 where it cannot be read.
func readLoad() float64 {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	first, _, _ := strings.Cut(string(b), " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil {
		return 0
	}
	return v
}
