package server

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	stats "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// nodeID is the node's own counter among cpuRates.
const nodeID = "node"

// clockTick is the unit of /proc/stat, fixed by the kernel's interface.
const clockTick = 10 * time.Millisecond

// nodeStats reads the machine as a whole.
func (s *Server) nodeStats(ctx context.Context, now metav1.Time, onlyUsage bool) stats.NodeStats {
	out := stats.NodeStats{NodeName: s.cfg.NodeName}
	proc, _ := os.ReadFile("/proc/stat")
	used, boot := parseStat(string(proc))
	out.StartTime = metav1.NewTime(boot)
	out.CPU = &stats.CPUStats{Time: now, UsageCoreNanoSeconds: &used, UsageNanoCores: s.cpu.rate(nodeID, uint64(now.UnixNano()), used)}
	info, _ := os.ReadFile("/proc/meminfo")
	out.Memory = parseMeminfo(string(info))
	out.Memory.Time = now
	if onlyUsage {
		return out
	}
	out.Fs = fsStats(s.cfg.Root, now)
	if s.cfg.Images != nil {
		if info, err := s.cfg.Images.ImageFsInfo(ctx); err == nil && len(info.GetImageFilesystems()) > 0 {
			f := info.ImageFilesystems[0]
			i := fsStats(f.GetFsId().GetMountpoint(), now)
			if i != nil {
				i.UsedBytes, i.InodesUsed = value(f.UsedBytes), value(f.InodesUsed)
				out.Runtime = &stats.RuntimeStats{ImageFs: i, ContainerFs: i}
			}
		}
	}
	out.Rlimit = rlimitStats(now)
	return out
}

// parseStat gives the CPU time used by all cores, in nanoseconds, and when the
// machine booted.
func parseStat(text string) (used uint64, boot time.Time) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		switch {
		case len(f) > 8 && f[0] == "cpu":
			// user nice system idle iowait irq softirq steal; guest times are
			// in user already.
			for i, v := range f[1:9] {
				if i == 3 || i == 4 {
					continue
				}
				n, _ := strconv.ParseUint(v, 10, 64)
				used += n * uint64(clockTick)
			}
		case len(f) == 2 && f[0] == "btime":
			n, _ := strconv.ParseInt(f[1], 10, 64)
			boot = time.Unix(n, 0)
		}
	}
	return used, boot
}

// parseMeminfo gives the memory in use. The working set is what could not be
// reclaimed at once.
func parseMeminfo(text string) *stats.MemoryStats {
	v := map[string]uint64{}
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 1 {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			v[strings.TrimSuffix(f[0], ":")] = n << 10
		}
	}
	usage := v["MemTotal"] - v["MemFree"]
	working := usage - min(usage, v["Inactive(file)"])
	available := v["MemTotal"] - working
	rss := v["AnonPages"]
	return &stats.MemoryStats{UsageBytes: &usage, WorkingSetBytes: &working, AvailableBytes: &available, RSSBytes: &rss}
}

func fsStats(path string, now metav1.Time) *stats.FsStats {
	var st unix.Statfs_t
	if unix.Statfs(path, &st) != nil {
		return nil
	}
	size := uint64(st.Bsize)
	capacity, available, used := st.Blocks*size, st.Bavail*size, (st.Blocks-st.Bfree)*size
	inodes, free, inUse := st.Files, st.Ffree, st.Files-st.Ffree
	return &stats.FsStats{
		Time: now, CapacityBytes: &capacity, AvailableBytes: &available, UsedBytes: &used,
		Inodes: &inodes, InodesFree: &free, InodesUsed: &inUse,
	}
}

func rlimitStats(now metav1.Time) *stats.RlimitStats {
	out := &stats.RlimitStats{Time: now}
	if b, err := os.ReadFile("/proc/sys/kernel/pid_max"); err == nil {
		if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
			out.MaxPID = &n
		}
	}
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		if f := strings.Fields(string(b)); len(f) > 3 {
			if _, all, ok := strings.Cut(f[3], "/"); ok {
				if n, err := strconv.ParseInt(all, 10, 64); err == nil {
					out.NumOfRunningProcesses = &n
				}
			}
		}
	}
	return out
}

// diskUsage adds up a directory without following links or leaving its file
// system; a file with several names counts once.
func diskUsage(ctx context.Context, dir string) (u usage) {
	type inode struct{ dev, ino uint64 }
	seen := map[inode]bool{}
	var dev uint64
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile
		}
		if ctx.Err() != nil {
			return fs.SkipAll
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil
		}
		if path == dir {
			dev = st.Dev
		}
		if st.Dev != dev {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if st.Nlink > 1 && !d.IsDir() {
			key := inode{st.Dev, st.Ino}
			if seen[key] {
				return nil
			}
			seen[key] = true
		}
		u.inodes++
		u.bytes += uint64(st.Blocks) * 512
		return nil
	})
	return u
}
