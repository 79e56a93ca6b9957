package cni

import (
	"context"
	"errors"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestForwardPlan(t *testing.T) {
	t.Parallel()
	c := Config{Network: "n", Bridge: "br0"}
	const in, out = "-i br0 -m comment --comment n-pods -j ACCEPT", "-o br0 -m comment --comment n-pods -j ACCEPT"
	for _, tt := range []struct {
		name, listing string
		want          bool
		plan          string
	}{
		{"nobody drops", "-P FORWARD ACCEPT\n", true, ""},
		{"no table", "", true, ""},
		{"Docker", "-P FORWARD DROP\n-A FORWARD -j DOCKER-USER\n", true, "-w -I FORWARD " + in + "|-w -I FORWARD " + out},
		{"done before", "-P FORWARD DROP\n-A FORWARD " + out + "\n-A FORWARD " + in + "\n", true, ""},
		{"half done", "-P FORWARD DROP\n-A FORWARD " + in + "\n", true, "-w -I FORWARD " + out},
		{"remove", "-P FORWARD DROP\n-A FORWARD " + in + "\n-A FORWARD " + out + "\n-A FORWARD -j DOCKER-USER\n", false, "-w -D FORWARD " + in + "|-w -D FORWARD " + out},
		{"remove, quoted", "-P FORWARD ACCEPT\n-A FORWARD -i br0 -m comment --comment \"n-pods\" -j ACCEPT\n", false, "-w -D FORWARD " + in},
		{"nothing to remove", "-P FORWARD DROP\n-A FORWARD -i br0 -j ACCEPT\n", false, ""},
	} {
		var got []string
		for _, args := range forwardPlan(c, tt.listing, tt.want) {
			got = append(got, strings.Join(args, " "))
		}
		if s := strings.Join(got, "|"); s != tt.plan {
			t.Errorf("%s:\n got %s\nwant %s", tt.name, s, tt.plan)
		}
	}
}

// With the real iptables, in a network namespace of the test's own, which is that
// of the thread the test is locked to.
func TestAllowForwarding(t *testing.T) {
	if _, err := exec.LookPath("iptables"); err != nil {
		t.Log("without iptables there is no policy to get past")
		return
	}
	runtime.LockOSThread() // never unlocked: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	c := testConfig(t)
	run := func(args ...string) string {
		t.Helper()
		out, err := execRunner(ctx, "iptables", args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	set := func(want bool) string {
		t.Helper()
		if err := setForwarding(ctx, c, execRunner, want); err != nil {
			t.Fatal(err)
		}
		return run("-S", "FORWARD")
	}
	if got := set(true); strings.Contains(got, "br-test") {
		t.Errorf("rules where nobody drops:\n%s", got)
	}
	run("-P", "FORWARD", "DROP")
	for range 2 {
		if got := set(true); strings.Count(got, "br-test") != 2 {
			t.Errorf("with a policy to drop:\n%s", got)
		}
	}
	for range 2 {
		if got := set(false); got != "-P FORWARD DROP\n" {
			t.Errorf("after the removal:\n%s", got)
		}
	}
}

func TestAllowForwardingFails(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	err := setForwarding(context.Background(), testConfig(t), func(context.Context, string, ...string) (string, error) { return "", boom }, true)
	if !errors.Is(err, boom) {
		t.Errorf("got %v", err)
	}
}
