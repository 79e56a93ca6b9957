package register

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Machine is what the node knows of the machine it runs on.
type Machine struct {
	Hostname      string
	CPUs          int
	MemoryBytes   int64
	SwapBytes     int64
	DiskBytes     int64 // of the file system that holds the node root
	HugePages     map[string]int64
	MachineID     string
	SystemUUID    string
	BootID        string
	KernelVersion string
	OSImage       string
	OS, Arch      string
}

// ReadMachine reads the facts from a file system root ("/"), and disk space from
// the node root. What cannot be read stays empty, except memory, without which
// nothing can be promised to pods.
func ReadMachine(fsRoot, nodeRoot string) (Machine, error) {
	m := Machine{CPUs: runtime.NumCPU(), OS: runtime.GOOS, Arch: runtime.GOARCH, HugePages: map[string]int64{}}
	at := func(path string) string { return filepath.Join(fsRoot, path) }
	line := func(path string) string {
		b, _ := os.ReadFile(at(path))
		return strings.TrimSpace(string(b))
	}

	info, err := meminfo(at("proc/meminfo"))
	if err != nil {
		return m, err
	}
	m.MemoryBytes, m.SwapBytes = info["MemTotal"], info["SwapTotal"]
	if m.MemoryBytes == 0 {
		return m, fmt.Errorf("%s does not tell the memory of this machine", at("proc/meminfo"))
	}
	m.Hostname = strings.ToLower(line("proc/sys/kernel/hostname"))
	m.BootID = line("proc/sys/kernel/random/boot_id")
	m.MachineID = line("etc/machine-id")
	m.SystemUUID = strings.ToLower(line("sys/class/dmi/id/product_uuid"))
	if m.SystemUUID == "" {
		m.SystemUUID = m.MachineID
	}
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		m.KernelVersion = unix.ByteSliceToString(uts.Release[:])
	}
	m.OSImage = osImage(at("etc/os-release"))
	var fs syscall.Statfs_t
	if syscall.Statfs(nodeRoot, &fs) == nil {
		m.DiskBytes = int64(fs.Blocks) * fs.Bsize
	}
	pools, _ := filepath.Glob(at("sys/kernel/mm/hugepages/hugepages-*kB"))
	for _, pool := range pools {
		kb := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(pool), "hugepages-"), "kB")
		size, err := strconv.ParseInt(kb, 10, 64)
		if err != nil {
			continue
		}
		b, _ := os.ReadFile(filepath.Join(pool, "nr_hugepages"))
		n, _ := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
		m.HugePages[hugePageName(size<<10)] = n * size << 10
	}
	return m, nil
}

// hugePageName is the resource name of a page size.
func hugePageName(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("hugepages-%dGi", bytes>>30)
	case bytes >= 1<<20:
		return fmt.Sprintf("hugepages-%dMi", bytes>>20)
	}
	return fmt.Sprintf("hugepages-%dKi", bytes>>10)
}

// meminfo reads the numbers of /proc/meminfo, in bytes.
func meminfo(path string) (map[string]int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	out := map[string]int64{}
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 2 {
			continue
		}
		if n, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
			if len(fields) > 2 && fields[2] == "kB" {
				n <<= 10
			}
			out[strings.TrimSuffix(fields[0], ":")] = n
		}
	}
	return out, nil
}

// AvailableMemory is the memory that is free or can be had without swapping out
// what is in use: all but the working set.
func AvailableMemory(fsRoot string) (int64, error) {
	info, err := meminfo(filepath.Join(fsRoot, "proc/meminfo"))
	if err != nil {
		return 0, err
	}
	return info["MemFree"] + info["Inactive(file)"], nil
}

func osImage(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return "Unknown"
	}
	for _, l := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(l, "PRETTY_NAME="); ok {
			return strings.Trim(v, `"'`)
		}
	}
	return "Unknown"
}
