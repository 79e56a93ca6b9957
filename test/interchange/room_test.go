package interchange

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
)

// nodeAddress is from the range kept for documentation: it exists in the
// namespace only.
const nodeAddress = "192.0.2.30"

const insideEnv = "PROA_INTERCHANGE_ROOM"

// TestMain runs the tests in a network namespace of their own, by running this
// program again in a new one.
func TestMain(m *testing.M) {
	if os.Getenv(insideEnv) != "" || os.Geteuid() != 0 {
		os.Exit(m.Run())
	}
	os.Exit(runInRoom())
}

func runInRoom() int {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideEnv+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	// The child gets the terminal's interrupt itself, and cleans up.
	signal.Ignore(os.Interrupt)
	if err := cmd.Run(); err != nil {
		if cmd.ProcessState == nil {
			fmt.Fprintln(os.Stderr, "a network namespace for the test cannot be made:", err)
			return 1
		}
		return max(cmd.ProcessState.ExitCode(), 1)
	}
	return 0
}

// furnish gives the room a loopback and the node's address, once.
func furnish(t *testing.T) {
	t.Helper()
	if os.Getenv(insideEnv) == "" {
		t.Fatal("the interchange tests make containers and must run as root: use \"make test\"")
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	// A bridge without ports: every kernel that runs pods has it.
	const name = "node0"
	if _, err := netlink.LinkByName(name); err == nil {
		return
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
	if err := netlink.LinkAdd(bridge); err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(nodeAddress + "/24")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.AddrAdd(bridge, addr); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetUp(bridge); err != nil {
		t.Fatal(err)
	}
}
