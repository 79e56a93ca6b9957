package cni

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

// filterBridged lets packets between two pods of the bridge pass the same
// tables as others. Where a pod reaches its neighbour through a service, the
// answer goes from pod to pod by the bridge, and would otherwise keep an address
// that the asking pod has never heard of.
func filterBridged() error {
	if _, err := os.Stat(bridgeNetfilter); errors.Is(err, os.ErrNotExist) {
		if out, err := exec.Command("modprobe", "br_netfilter").CombinedOutput(); err != nil {
			return fmt.Errorf("the kernel cannot filter bridged packets: load the module br_netfilter: %w: %s", err, out)
		}
	}
	for _, name := range []string{"iptables", "ip6tables"} {
		if err := os.WriteFile(bridgeNetfilter+"/bridge-nf-call-"+name, []byte("1\n"), 0o644); err != nil {
			return fmt.Errorf("let bridged packets be filtered: %w", err)
		}
	}
	return nil
}

// bridgeNetfilter is where each network namespace has its switches.
const bridgeNetfilter = "/proc/sys/net/bridge"
