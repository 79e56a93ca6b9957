package cri

import (
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// ContainerConfig gives one container. Pure, but for files of a volume that
// fileKeyRef names; in.Mounts is passed on. Errors are *ConfigError.
func ContainerConfig(in ContainerInput) (*runtimeapi.ContainerConfig, error) {
	c := in.Container
	env, err := Environment(in)
	if err != nil {
		return nil, &ConfigError{ReasonConfigError, err}
	}
	security, err := containerSecurity(in)
	if err != nil {
		return nil, &ConfigError{ReasonConfigError, err}
	}
	out := &runtimeapi.ContainerConfig{
		Metadata:    &runtimeapi.ContainerMetadata{Name: c.Name, Attempt: uint32(in.RestartCount)},
		Image:       &runtimeapi.ImageSpec{Image: in.Image, UserSpecifiedImage: c.Image},
		Command:     expandAll(c.Command, env),
		Args:        expandAll(c.Args, env),
		WorkingDir:  c.WorkingDir,
		Envs:        env,
		Mounts:      in.Mounts,
		Devices:     in.Devices,
		CDIDevices:  in.CDIDevices,
		Labels:      ContainerLabels(in.Pod, c.Name),
		Annotations: containerAnnotations(in),
		LogPath:     LogPath(c.Name, in.RestartCount),
		Stdin:       c.Stdin,
		StdinOnce:   c.StdinOnce,
		Tty:         c.TTY,
		Linux: &runtimeapi.LinuxContainerConfig{
			Resources:       Resources(in),
			SecurityContext: security,
		},
	}
	if u := in.UserNamespace; hasOwnUsers(u) {
		// What is mounted shows the owners that it has on the node.
		out.Mounts = make([]*runtimeapi.Mount, len(in.Mounts))
		for i, m := range in.Mounts {
			out.Mounts[i] = &runtimeapi.Mount{
				ContainerPath: m.ContainerPath, HostPath: m.HostPath, Readonly: m.Readonly, SelinuxRelabel: m.SelinuxRelabel,
				Propagation: m.Propagation, RecursiveReadOnly: m.RecursiveReadOnly, Image: m.Image, ImageSubPath: m.ImageSubPath,
				UidMappings: u.Uids, GidMappings: u.Gids,
			}
		}
	}
	if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
		out.StopSignal = runtimeapi.Signal(runtimeapi.Signal_value[string(*c.Lifecycle.StopSignal)])
	}
	return out, nil
}
