package node

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/node/cri"
	"proa/node/evict"
	"proa/node/register"
)

// buildEviction makes the manager that keeps the node from running out of memory
// and disk.
func (a *Agent) buildEviction() error {
	k := &a.cfg.Kubelet
	thresholds, err := evict.ParseThresholds(k.EvictionHard, k.EvictionSoft, k.EvictionSoftGracePeriod)
	if err != nil {
		return err
	}
	a.evictor = evict.New(evict.Config{
		Thresholds: thresholds,
		Hold:       k.EvictionPressureTransitionPeriod.Duration,
		MaxGrace:   time.Duration(k.EvictionMaxPodGracePeriod) * time.Second,
		Levels:     a.levels, Usage: a.podUsage,
		ReclaimImages: a.collector.DeleteUnused,
		Fail:          a.workers.Fail,
		Event:         a.events.pod, NodeEvent: a.events.onNode,
		Changed: func() { a.registrar.Poke() },
		Log:     a.log,
	})
	return nil
}

// pressure tells the registrar which resources run out.
func (a *Agent) pressure() register.Pressure {
	return register.Pressure{
		Memory: a.evictor.Under(v1.NodeMemoryPressure),
		Disk:   a.evictor.Under(v1.NodeDiskPressure),
		PID:    a.evictor.Under(v1.NodePIDPressure),
	}
}

// levels measures what is left. What cannot be measured is left out and never
// leads to an eviction.
func (a *Agent) levels(ctx context.Context) map[evict.Signal]evict.Level {
	out := map[evict.Signal]evict.Level{}
	if available, err := register.AvailableMemory("/"); err == nil {
		out[evict.Memory] = evict.Level{Available: available, Capacity: a.machine.MemoryBytes}
	} else {
		a.log.Warn("available memory cannot be measured", "error", err)
	}
	disk := func(path string, space, inodes evict.Signal) {
		var st syscall.Statfs_t
		if err := syscall.Statfs(path, &st); err != nil {
			a.log.Warn("disk space cannot be measured", "path", path, "error", err)
			return
		}
		out[space] = evict.Level{Available: int64(st.Bavail) * st.Bsize, Capacity: int64(st.Blocks) * st.Bsize}
		if st.Files > 0 { // some file systems have no fixed number
			out[inodes] = evict.Level{Available: int64(st.Ffree), Capacity: int64(st.Files)}
		}
	}
	disk(a.cfg.Root, evict.NodeDisk, evict.NodeInodes)
	if info, err := a.images.ImageFsInfo(ctx); err == nil && len(info.GetImageFilesystems()) > 0 {
		disk(info.GetImageFilesystems()[0].GetFsId().GetMountpoint(), evict.ImageDisk, evict.ImageInodes)
	}
	if max, err := readNumber("/proc/sys/kernel/pid_max"); err == nil {
		if running, err := processes(); err == nil {
			out[evict.Processes] = evict.Level{Available: max - running, Capacity: max}
		}
	}
	return out
}

func readNumber(path string) (int64, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// processes counts the tasks of the machine, from the fourth field of loadavg.
func processes() (int64, error) {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b))
	if len(fields) < 4 {
		return 0, fs.ErrInvalid
	}
	_, all, _ := strings.Cut(fields[3], "/")
	return strconv.ParseInt(all, 10, 64)
}

// podUsage measures what the pods use that have not ended.
func (a *Agent) podUsage(ctx context.Context, s evict.Signal) []evict.Usage {
	list, err := a.runtime.ListPodSandboxStats(ctx, nil)
	if err != nil {
		a.log.Warn("the pods' use cannot be measured", "error", err)
	}
	uses := map[types.UID]*evict.Usage{}
	for _, sn := range a.workers.Snapshots() {
		if !sn.Stopped {
			uses[sn.Pod.UID] = &evict.Usage{Pod: sn.Pod, Memory: map[string]int64{}, Disk: map[string]int64{}, Inodes: map[string]int64{}}
		}
	}
	for _, st := range list {
		u := uses[types.UID(st.GetAttributes().GetMetadata().GetUid())]
		if u == nil {
			continue
		}
		u.Processes = int64(st.GetLinux().GetProcess().GetProcessCount().GetValue())
		for _, c := range st.GetLinux().GetContainers() {
			name := c.GetAttributes().GetMetadata().GetName()
			u.Memory[name] = int64(c.GetMemory().GetWorkingSetBytes().GetValue())
			u.Disk[name] = int64(c.GetWritableLayer().GetUsedBytes().GetValue())
			u.Inodes[name] = int64(c.GetWritableLayer().GetInodesUsed().GetValue())
		}
	}
	out := make([]evict.Usage, 0, len(uses))
	for _, u := range uses {
		if s != evict.Memory && s != evict.Processes {
			for _, dir := range []string{
				// The hosts file and termination logs count as well as volumes.
				cri.PodDir(a.cfg.Root, u.Pod.UID),
				cri.PodLogDir(a.cfg.Kubelet.PodLogsDir, u.Pod.Namespace, u.Pod.Name, u.Pod.UID),
			} {
				bytes, inodes := diskUse(ctx, dir)
				u.Disk[""] += bytes
				u.Inodes[""] += inodes
			}
		}
		out = append(out, *u)
	}
	return out
}

// diskUse adds up what is below a directory, on the same file system only.
func diskUse(ctx context.Context, dir string) (bytes, inodes int64) {
	var root syscall.Stat_t
	if syscall.Lstat(dir, &root) != nil {
		return 0, 0
	}
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return fs.SkipAll
		}
		var st syscall.Stat_t
		if err != nil || syscall.Lstat(path, &st) != nil {
			return nil // it went away meanwhile
		}
		if st.Dev != root.Dev {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		bytes += st.Blocks * 512
		inodes++
		return nil
	}) // never fails: errors of files are skipped above
	return bytes, inodes
}
