package sandbox

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// SpecType is the type URL under which a Spec, as JSON, is given to the shim's
// CreateSandbox.
const SpecType = "proa.runtime.sandbox.v1.Spec"

// Pause is the program's name in Root.
const Pause = "/pause"

// ID is user and group of the pause process.
const ID = 65535

// States that a shim reports, as CRI names them.
const (
	Ready    = "SANDBOX_READY"
	NotReady = "SANDBOX_NOTREADY"
)

// Spec says which namespaces a pod has.
type Spec struct {
	// Root is the directory with the pause program and nothing else.
	Root string
	// NetNS is the pinned network namespace; "" shares the host's, and then
	// also its UTS namespace.
	NetNS string `json:",omitempty"`
	// Hostname in a UTS namespace of the pod's own.
	Hostname string `json:",omitempty"`
	// HostIPC shares the host's IPC namespace.
	HostIPC bool `json:",omitempty"`
	// SharePID makes a PID namespace for all containers, with pause as its init.
	SharePID bool `json:",omitempty"`
	// Sysctls are set in the pod's namespaces, by name in dotted form.
	Sysctls map[string]string `json:",omitempty"`
}

// Validate checks what would be harmful if it were wrong: a system control that
// is not confined to the pod's namespaces changes the machine.
func (s Spec) Validate() error {
	var errs []error
	if !path.IsAbs(s.Root) {
		errs = append(errs, fmt.Errorf("sandbox root %q is not an absolute path", s.Root))
	}
	for name := range s.Sysctls {
		if _, err := s.SysctlPath(name); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// System controls of IPC namespaces; all others below kernel. are the machine's.
var ipcSysctls = map[string]bool{
	"kernel/msgmax": true, "kernel/msgmnb": true, "kernel/msgmni": true, "kernel/sem": true,
	"kernel/shmall": true, "kernel/shmmax": true, "kernel/shmmni": true, "kernel/shm_rmid_forced": true,
}

// SysctlPath is the file of a system control, or an error if the control does not
// belong to a namespace of the pod's own.
func (s Spec) SysctlPath(name string) (string, error) {
	p := name
	// Where a slash comes first, dots are part of a component, as in
	// net/ipv4/conf/eth0.100/forwarding.
	if dot, slash := strings.IndexByte(p, '.'), strings.IndexByte(p, '/'); slash < 0 || dot >= 0 && dot < slash {
		p = strings.NewReplacer(".", "/", "/", ".").Replace(p)
	}
	if path.Clean("/" + p)[1:] != p {
		return "", fmt.Errorf("sysctl %q is not a name", name)
	}
	var mine bool
	switch {
	case strings.HasPrefix(p, "net/"):
		mine = s.NetNS != ""
	case ipcSysctls[p], strings.HasPrefix(p, "fs/mqueue/"):
		mine = !s.HostIPC
	case p == "kernel/domainname":
		mine = s.NetNS != ""
	}
	if !mine {
		return "", fmt.Errorf("sysctl %q is not in a separate kernel namespace", name)
	}
	return "/proc/sys/" + p, nil
}
