package hollow

import (
	"runtime"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"proa/node/register"
	"proa/version"
)

// Upstream's defaults.
const (
	leaseDuration = 40 * time.Second
	renewInterval = leaseDuration / 4
	kubeletPort   = 10250
)

// Label marks hollow nodes, so that pods can be kept on them or off them.
const Label = "proa.dev/hollow"

// Machine is what each node says that it has.
type Machine struct {
	CPUs    int
	Memory  int64 // bytes
	Disk    int64 // bytes
	MaxPods int
	Labels  map[string]string
}

// DefaultMachine is a small server.
func DefaultMachine() Machine {
	return Machine{CPUs: 8, Memory: 32 << 30, Disk: 100 << 30, MaxPods: 110}
}

// facts are how the i-th node presents itself.
type facts struct {
	machine register.Machine
	config  register.Config
}

func (m Machine) facts(name string, i int) facts {
	// Nobody is there to take a service's traffic.
	labels := map[string]string{Label: "true", v1.LabelNodeExcludeBalancers: "true"}
	for k, v := range m.Labels {
		labels[k] = v
	}
	return facts{
		machine: register.Machine{
			Hostname: name, CPUs: m.CPUs, MemoryBytes: m.Memory, DiskBytes: m.Disk,
			MachineID: name, SystemUUID: name, BootID: name, OSImage: "none", OS: "linux", Arch: runtime.GOARCH,
		},
		config: register.Config{
			NodeName: name, Labels: labels, MaxPods: m.MaxPods, KubeletPort: kubeletPort, Version: version.Git(),
			Addresses: []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: nodeAddress(i)}, {Type: v1.NodeHostName, Address: name}},
		},
	}
}

func (f facts) status(before v1.NodeStatus, now time.Time) v1.NodeStatus {
	return register.Status(before, f.machine, f.config, register.Runtime{Version: "hollow://" + version.Proa}, register.Pressure{}, now)
}

func (f facts) object(now time.Time) *v1.Node {
	n := register.New(f.machine, f.config)
	n.Status = f.status(v1.NodeStatus{}, now)
	return n
}

// beats are when a node was last heard of.
type beats struct {
	renewed  time.Time // its lease
	reported time.Time // its status
}

// nodePlan is what one look at a node leads to.
type nodePlan struct {
	register bool
	// write is the node with the status that it should have, nil where it has.
	write *v1.Node
	renew bool
	next  time.Time
}

// decideNode says what is due. n is the newest Node object known, nil where
// there is none; settled: it was found right already.
func decideNode(n *v1.Node, settled bool, f facts, b beats, now time.Time) nodePlan {
	var p nodePlan
	due := !b.reported.Add(register.DefaultReport).After(now)
	switch {
	case n == nil:
		p.register = true
	case due || !settled:
		if s := f.status(n.Status, now); due || !register.SameStatus(n.Status, s) {
			write := *n
			write.Status = s
			p.write = &write
		}
	}
	p.next = b.renewed.Add(renewInterval)
	if !p.next.After(now) {
		p.renew, p.next = true, now.Add(renewInterval)
	}
	return p
}

// renewed is the lease to be written: was with a new time, or a first one.
func renewed(was *coordinationv1.Lease, n *v1.Node, name string, now time.Time) *coordinationv1.Lease {
	l := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: v1.NamespaceNodeLease}}
	if was != nil {
		l.ResourceVersion, l.UID, l.OwnerReferences = was.ResourceVersion, was.UID, was.OwnerReferences
	}
	if len(l.OwnerReferences) == 0 && n != nil {
		l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}
	}
	l.Spec = coordinationv1.LeaseSpec{
		HolderIdentity:       ptr.To(name),
		LeaseDurationSeconds: ptr.To(int32(leaseDuration / time.Second)),
		RenewTime:            &metav1.MicroTime{Time: now},
	}
	return l
}
