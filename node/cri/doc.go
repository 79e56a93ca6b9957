// Package cri turns pods and containers of the Kubernetes API into what the
// Container Runtime Interface asks for: a PodSandboxConfig and one
// ContainerConfig per container.
//
// Everything that only decides is a pure function of explicit inputs: [Node]
// (fixed for the life of the agent), [PodInput] (one pod) and [ContainerInput]
// (one container of it, with the image, the mounts and the objects already
// looked up). What touches the disk is apart: [Mounts] (the hosts file, the
// termination log, sub-paths) and [MakeLogDirs].
//
// Labels, annotations, hashes, log paths and numbers are the ones upstream's
// kubelet sets, so that crictl, log collectors and an upstream kubelet on the
// same root read them alike. The container hash in particular covers only name
// and image: an upgrade must never restart what runs.
//
// Errors meant for a user are [*ConfigError] and carry the waiting reason
// (CreateContainerConfigError and friends) that the container status shows.
package cri
