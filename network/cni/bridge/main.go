// Command proa-bridge is a CNI plugin (specification 1.0.0): it attaches a pod to
// the node's bridge, with an address from the node's range, and maps its host
// ports.
//
// It does what upstream's plugins bridge, host-local and portmap do in a chain. A
// plugin is a program, and each program that a pod needs costs some milliseconds of
// CPU to come up, more than the work that it does; so here it is one. Addresses
// are kept by host-local's own library in its own files, so that either can go on
// where the other was. Only pods with host ports need another program: portmap
// itself, which is run for them.
//
// The configuration has the keys of upstream's bridge plugin as far as it needs
// them ([config]), an "ipam" section of host-local's, and "portmap" with what
// portmap is told beside the ports.
package main

import (
	"runtime"
	"runtime/debug"

	"github.com/containernetworking/cni/pkg/skel"
	"github.com/containernetworking/cni/pkg/version"
)

// A network namespace belongs to a thread, and work in one must stay there.
func init() { runtime.LockOSThread() }

func main() {
	// The process ends before it would pay to collect its garbage.
	debug.SetGCPercent(-1)
	skel.PluginMainFuncs(skel.CNIFuncs{Add: add, Del: del, Check: check},
		version.PluginSupports("0.4.0", "1.0.0"), "CNI plugin proa-bridge")
}

// add attaches a pod: on success its addresses are reserved, and printed. On
// failure nothing is left.
func add(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	result, err := attach(c, args)
	if err != nil {
		return err
	}
	return result.Print()
}

// del takes back whatever add has made or begun to make. What is not there is
// not missed.
func del(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	return detach(c, args)
}

// check returns an error if the pod is no longer attached as add has said.
func check(args *skel.CmdArgs) error {
	c, err := parse(args.StdinData)
	if err != nil {
		return err
	}
	return inspect(c, args)
}
