package cluster

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestProgramRange(t *testing.T) {
	t.Parallel()
	const exe = "/opt/a b/proa"
	for _, tt := range []struct {
		line       string
		start, end uintptr
		ok         bool
	}{
		{"00400000-03e5f000 r-xp 00000000 fe:00 1184                               /opt/a b/proa", 0x400000, 0x3e5f000, true},
		{"03e5f000-07000000 r--p 03a5f000 fe:00 1184                               /opt/a b/proa", 0x3e5f000, 0x7000000, true},
		{"07000000-07100000 rw-p 06c00000 fe:00 1184                               /opt/a b/proa", 0, 0, false},
		{"07000000-07100000 r--s 06c00000 fe:00 1184                               /opt/a b/proa", 0, 0, false},
		{"07000000-07100000 r--p 00000000 fe:00 99                                 /other/opt/a b/proa.so", 0, 0, false},
		{"07100000-07140000 rw-p 00000000 00:00 0 ", 0, 0, false},
		{"7ffd0000-7ffd2000 r-xp 00000000 00:00 0                                  [vdso]", 0, 0, false},
		{"zz-07100000 r--p 00000000 fe:00 1184 /opt/a b/proa", 0, 0, false},
		{"07100000-07000000 r--p 00000000 fe:00 1184 /opt/a b/proa", 0, 0, false},
		{"", 0, 0, false},
	} {
		if start, end, ok := programRange(tt.line, exe); start != tt.start || end != tt.end || ok != tt.ok {
			t.Errorf("%s: %x-%x, %v", tt.line, start, end, ok)
		}
	}
}

// TestForgetProgram: the program goes on without the pages, and has fewer of them.
func TestForgetProgram(t *testing.T) {
	before := fileMemory(t)
	if err := forgetProgram(); err != nil {
		t.Fatal(err)
	}
	if after := fileMemory(t); after >= before {
		t.Errorf("%d kB of files are mapped, and were %d before", after, before)
	}
}

// fileMemory is how much of files this process has in memory, in kB.
func fileMemory(t *testing.T) (kB int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if n, _ := fmt.Sscanf(line, "RssFile: %d kB", &kB); n == 1 {
			return kB
		}
	}
	t.Fatal("the kernel does not say how much of files is mapped")
	return 0
}
