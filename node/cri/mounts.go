package cri

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Mounts prepares on disk what the container's mounts need (hosts file,
// termination log, sub-paths) and returns them. Doing it again for the same
// attempt gives the same. Errors are *ConfigError.
func Mounts(in ContainerInput) ([]*runtimeapi.Mount, error) {
	mounts, err := volumeMounts(in)
	if err != nil {
		return nil, &ConfigError{ReasonConfigError, err}
	}
	hosts, err := hostsMount(in)
	if err != nil {
		return nil, &ConfigError{ReasonConfigError, err}
	}
	if hosts != nil {
		mounts = append(mounts, hosts)
	}
	if in.Container.TerminationMessagePath != "" {
		path, err := makeTerminationLog(in)
		if err != nil {
			return nil, &ConfigError{ReasonConfigError, err}
		}
		mounts = append(mounts, &runtimeapi.Mount{
			ContainerPath: in.Container.TerminationMessagePath, HostPath: path, SelinuxRelabel: true,
		})
	}
	return mounts, nil
}

// volumeMounts resolves the container's volumeMounts.
func volumeMounts(in ContainerInput) ([]*runtimeapi.Mount, error) {
	var env []*runtimeapi.KeyValue
	var out []*runtimeapi.Mount
	for i, m := range in.Container.VolumeMounts {
		v, ok := in.Volumes[m.Name]
		if !ok {
			return nil, fmt.Errorf("cannot find volume %q to mount into container %q", m.Name, in.Container.Name)
		}
		sub := m.SubPath
		if m.SubPathExpr != "" {
			if env == nil {
				var err error
				if env, err = Environment(in); err != nil {
					return nil, err
				}
			}
			var err error
			if sub, err = expandSubPath(m, env); err != nil {
				return nil, err
			}
		}
		if err := checkSubPath(sub); err != nil {
			return nil, err
		}
		if v.Image != nil {
			out = append(out, &runtimeapi.Mount{ContainerPath: m.MountPath, Image: v.Image, ImageSubPath: sub, Readonly: true})
			continue
		}
		host := v.Path
		if sub != "" {
			var err error
			host, err = subPath(v.Path, sub, SubPathDir(in.Node.Root, in.Pod.UID, m.Name, in.Container.Name), i)
			if err != nil {
				what := "prepare subPath"
				var op *subPathError
				if errors.As(err, &op) && op.creating {
					what = "create subPath directory"
				}
				return nil, &PrivateError{fmt.Sprintf("failed to %s for volumeMount %q of container %q", what, m.Name, in.Container.Name), err}
			}
		}
		rro, err := recursiveReadOnly(m, !in.Node.NoRecursiveReadOnly)
		if err != nil {
			return nil, err
		}
		prop, err := propagation(m)
		if err != nil {
			return nil, err
		}
		path := m.MountPath
		if !filepath.IsAbs(path) {
			path = "/" + path
		}
		out = append(out, &runtimeapi.Mount{
			ContainerPath: path, HostPath: host, Readonly: m.ReadOnly || v.ReadOnly,
			RecursiveReadOnly: rro, SelinuxRelabel: v.SELinuxRelabel, Propagation: prop,
		})
	}
	return out, nil
}

func checkSubPath(p string) error {
	if filepath.IsAbs(p) {
		return fmt.Errorf("error SubPath `%s` must not be an absolute path", p)
	}
	if slices.Contains(strings.Split(filepath.ToSlash(p), "/"), "..") {
		return fmt.Errorf("unable to provision SubPath `%s`: must not contain '..'", p)
	}
	return nil
}

func propagation(m corev1.VolumeMount) (runtimeapi.MountPropagation, error) {
	if m.MountPropagation == nil {
		return runtimeapi.MountPropagation_PROPAGATION_PRIVATE, nil
	}
	switch *m.MountPropagation {
	case corev1.MountPropagationNone, "":
		return runtimeapi.MountPropagation_PROPAGATION_PRIVATE, nil
	case corev1.MountPropagationHostToContainer:
		return runtimeapi.MountPropagation_PROPAGATION_HOST_TO_CONTAINER, nil
	case corev1.MountPropagationBidirectional:
		return runtimeapi.MountPropagation_PROPAGATION_BIDIRECTIONAL, nil
	}
	return 0, fmt.Errorf("invalid MountPropagation mode: %q", *m.MountPropagation)
}

func recursiveReadOnly(m corev1.VolumeMount, supported bool) (bool, error) {
	if m.RecursiveReadOnly == nil || *m.RecursiveReadOnly == corev1.RecursiveReadOnlyDisabled {
		return false, nil
	}
	mode := *m.RecursiveReadOnly
	if !m.ReadOnly {
		return false, fmt.Errorf("volume %q requested recursive read-only mode, but it is not read-only", m.Name)
	}
	if m.MountPropagation != nil && *m.MountPropagation != corev1.MountPropagationNone {
		return false, fmt.Errorf("volume %q requested recursive read-only mode, but it is not compatible with propagation %q", m.Name, *m.MountPropagation)
	}
	switch mode {
	case corev1.RecursiveReadOnlyIfPossible:
		return supported, nil
	case corev1.RecursiveReadOnlyEnabled:
		if !supported {
			return false, fmt.Errorf("volume %q requested recursive read-only mode, but it is not supported by the runtime", m.Name)
		}
		return true, nil
	}
	return false, fmt.Errorf("unknown recursive read-only mode %q", mode)
}

// makeTerminationLog makes the empty file that the container may write its
// last words to. One file per attempt; a second try for the same attempt
// empties it.
func makeTerminationLog(in ContainerInput) (string, error) {
	dir := ContainerDir(in.Node.Root, in.Pod.UID, in.Container.Name)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return "", fmt.Errorf("make the directory of container %q: %w", in.Container.Name, err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%08x", in.RestartCount))
	f, err := os.Create(path)
	if err != nil {
		return "", fmt.Errorf("make the termination log of container %q: %w", in.Container.Name, err)
	}
	defer f.Close()
	// Any user may write it; chmod, because the umask cuts what open is given.
	if err := f.Chmod(0o666); err != nil {
		return "", fmt.Errorf("make the termination log of container %q writable: %w", in.Container.Name, err)
	}
	return path, nil
}
