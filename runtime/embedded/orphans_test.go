package embedded

import (
	"slices"
	"testing"

	"proa/runtime/internal/procs"
)

func TestOrphans(t *testing.T) {
	t.Parallel()
	shim := func(pid int, socket string, gone bool) procs.Process {
		return procs.Process{PID: pid, Parent: 1, CwdGone: gone, Args: []string{"/b/" + ShimBinary, "-id", "x", "-address", socket}}
	}
	all := []procs.Process{
		shim(10, "/s", false), // a pod's
		shim(11, "/s", true),  // forgotten, with nothing
		shim(13, "/s", true),  // forgotten, with a container
		{PID: 113, Parent: 13, Root: "/", Args: []string{"/hello"}},
		shim(14, "/other", true), // of another runtime
		{PID: 15, CwdGone: true, Args: []string{"sh", "-address", "/s"}},
		{PID: 16, CwdGone: true},
	}
	if got := orphans(all, "/s"); !slices.Equal(got, []int{11}) {
		t.Errorf("got %v", got)
	}
}
