package cluster

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"
)

// settleTime is how long after the start a process has done what only a start
// does.
const settleTime = 3 * time.Second

// settle gives back to the system, once, what only the start needed: garbage, and
// the pages of the program that nothing has used since. Much of the program is run
// once: it prepares types and tables. Without this it would stay mapped for as long
// as the process lives.
func settle(p *parts, c clock.Clock, log *slog.Logger) {
	p.run("settling", func(ctx context.Context) error {
		t := c.NewTimer(settleTime)
		defer t.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-t.C():
		}
		debug.FreeOSMemory()
		if err := forgetProgram(); err != nil {
			log.Debug("pages of the program stay mapped", "err", err)
		}
		return nil
	})
}

// forgetProgram unmaps the pages of the program's file. They come back from the
// system's cache as they are used.
func forgetProgram() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer maps.Close()
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		start, end, ok := programRange(lines.Text(), exe)
		if !ok {
			continue
		}
		// Only what is never written is dropped: it can be read again from the file.
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("madvise: %w", errno)
		}
	}
	return lines.Err()
}

// programRange reads a line of /proc/self/maps: the addresses of a mapping of the
// file exe that cannot be written.
func programRange(line, exe string) (start, end uintptr, ok bool) {
	f := strings.Fields(line)
	if len(f) < 6 || strings.Contains(f[1], "w") || !strings.HasSuffix(f[1], "p") || !strings.HasSuffix(line, " "+exe) {
		return 0, 0, false
	}
	if n, err := fmt.Sscanf(f[0], "%x-%x", &start, &end); n != 2 || err != nil || end <= start {
		return 0, 0, false
	}
	return start, end, true
}
