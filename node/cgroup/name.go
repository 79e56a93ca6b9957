package cgroup

import (
	"path"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Driver says who writes cgroups and how they are named.
type Driver string

// The two drivers of CRI.
const (
	Cgroupfs Driver = "cgroupfs"
	Systemd  Driver = "systemd"
)

const (
	topName   = "kubepods"
	podPrefix = "pod"
)

// name is a cgroup as its components from the root of the hierarchy, the same
// for both drivers.
type name []string

func (n name) child(parts ...string) name {
	return append(append(make(name, 0, len(n)+len(parts)), n...), parts...)
}

// fs is the path with the cgroupfs driver.
func (n name) fs() string { return "/" + path.Join(n...) }

// systemd is the path of the slice: each component repeats all before it, and
// dashes within a component, which would mean nesting, become underscores.
func (n name) systemd() string {
	p, prefix := "/", ""
	for _, part := range n {
		prefix += strings.ReplaceAll(part, "-", "_")
		p = path.Join(p, prefix+".slice")
		prefix += "-"
	}
	return p
}

func (n name) path(d Driver) string {
	if d == Systemd {
		return n.systemd()
	}
	return n.fs()
}

// tier is the cgroup in which pods of a class stand.
func tier(top name, class corev1.PodQOSClass) name {
	switch class {
	case corev1.PodQOSGuaranteed:
		return top
	case corev1.PodQOSBurstable:
		return top.child("burstable")
	}
	return top.child("besteffort")
}

// podOf is the pod whose cgroup a directory of a tier is, or "".
func podOf(dir string, d Driver) types.UID {
	if d == Systemd {
		dir = strings.TrimSuffix(dir, ".slice")
		if i := strings.LastIndexByte(dir, '-'); i >= 0 {
			dir = dir[i+1:]
		}
		dir = strings.ReplaceAll(dir, "_", "-")
	}
	uid, ok := strings.CutPrefix(dir, podPrefix)
	if !ok {
		return ""
	}
	return types.UID(uid)
}
