package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc on every Linux architecture that Go
// runs on here.
const tick = 10 * time.Millisecond

// process is one line of the machine's process table.
type process struct {
	pid, parent int
	args        string
	cpu         time.Duration // user and system time of its own
	reaped      time.Duration // of children that have ended
	rss         int64         // bytes
}

// parseStat reads /proc/PID/stat. The name in it may contain anything, so it is
// skipped to its last parenthesis.
func parseStat(data []byte, pageSize int64) (process, error) {
	open, end := bytes.IndexByte(data, '('), bytes.LastIndexByte(data, ')')
	if open < 0 || end < open {
		return process{}, errors.New("no name in parentheses")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data[:open])))
	if err != nil {
		return process{}, fmt.Errorf("process id: %w", err)
	}
	f := strings.Fields(string(data[end+1:]))
	const parent, utime, stime, cutime, cstime, rss = 1, 11, 12, 13, 14, 21
	if len(f) <= rss {
		return process{}, fmt.Errorf("%d fields, want more than %d", len(f), rss)
	}
	var n [rss + 1]int64
	for _, i := range []int{parent, utime, stime, cutime, cstime, rss} {
		if n[i], err = strconv.ParseInt(f[i], 10, 64); err != nil {
			return process{}, fmt.Errorf("field %d: %w", i+3, err)
		}
	}
	return process{
		pid: pid, parent: int(n[parent]), rss: n[rss] * pageSize,
		cpu: time.Duration(n[utime]+n[stime]) * tick, reaped: time.Duration(n[cutime]+n[cstime]) * tick,
	}, nil
}

func readProcess(pid int) (process, error) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return process{}, err
	}
	p, err := parseStat(stat, int64(os.Getpagesize()))
	if err != nil {
		return p, fmt.Errorf("%s/stat: %w", dir, err)
	}
	args, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return p, err
	}
	p.args = strings.ReplaceAll(string(args), "\x00", " ")
	return p, nil
}

// processes reads the table. Processes that end meanwhile are left out.
func processes() ([]process, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("read the processes: %w", err)
	}
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := readProcess(pid); err == nil {
			all = append(all, p)
		}
	}
	return all, nil
}

// below keeps the server, the processes whose arguments name the data
// directory (shims, which are children of nobody here) and all descendants of
// both.
func below(all []process, server int, dir string) []process {
	children := map[int][]process{}
	var queue []process
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p)
		if p.pid == server || strings.Contains(p.args, dir+"/") {
			queue = append(queue, p)
		}
	}
	seen := map[int]bool{}
	var out []process
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		if seen[p.pid] {
			continue
		}
		seen[p.pid] = true
		out = append(out, p)
		queue = append(queue, children[p.pid]...)
	}
	return out
}

// cpuBetween is what the processes of after have used since before. What is
// new has used all it shows; what has ended is in its parent's reaped time.
func cpuBetween(before, after []process) time.Duration {
	was := map[int]process{}
	for _, p := range before {
		was[p.pid] = p
	}
	var sum time.Duration
	for _, p := range after {
		b := was[p.pid]
		sum += p.cpu + p.reaped - b.cpu - b.reaped
	}
	return sum
}

func rss(ps []process) (sum int64) {
	for _, p := range ps {
		sum += p.rss
	}
	return sum
}
