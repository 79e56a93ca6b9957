package cri

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

var errNotBuilt = errors.New("not built yet")

// SandboxConfig gives the pod's sandbox. Pure.
func SandboxConfig(in PodInput) (*runtimeapi.PodSandboxConfig, error) { return nil, errNotBuilt }

// ContainerConfig gives one container. Pure; in.Mounts is passed on.
func ContainerConfig(in ContainerInput) (*runtimeapi.ContainerConfig, error) {
	return nil, errNotBuilt
}

// Mounts prepares on disk what the container's mounts need (hosts file,
// termination log, sub-paths) and returns them. Idempotent per attempt.
func Mounts(in ContainerInput, volumes map[string]Volume) ([]*runtimeapi.Mount, error) {
	return nil, errNotBuilt
}

// MakeLogDirs creates the log directories of a container's first attempt.
func MakeLogDirs(in ContainerInput) error { return errNotBuilt }

// Hash is the container hash that upstream writes to annotations.
func Hash(c *corev1.Container) uint64 { return 0 }
