package cri

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// PodDir is the pod's directory under the agent's root.
func PodDir(root string, uid types.UID) string {
	return filepath.Join(root, "pods", string(uid))
}

// ContainerDir holds a container's termination logs.
func ContainerDir(root string, uid types.UID, container string) string {
	return filepath.Join(PodDir(root, uid), "containers", container)
}

// HostsFile is the pod's managed /etc/hosts.
func HostsFile(root string, uid types.UID) string {
	return filepath.Join(PodDir(root, uid), "etc-hosts")
}

// SubPathDir is where the bind mounts of sub-paths of one volume of one
// container stand, numbered by volumeMount.
func SubPathDir(root string, uid types.UID, volume, container string) string {
	return filepath.Join(PodDir(root, uid), "volume-subpaths", volume, container)
}

// PodLogDir is the pod's log directory, NAMESPACE_NAME_UID.
func PodLogDir(podLogs string, namespace, name string, uid types.UID) string {
	return filepath.Join(podLogs, namespace+"_"+name+"_"+string(uid))
}

// LogPath is a container's log relative to its pod's log directory; N is its
// attempt.
func LogPath(container string, attempt int) string {
	return filepath.Join(container, strconv.Itoa(attempt)+".log")
}

// LegacyLogLink is the name of the symbolic link that log collectors look for
// in /var/log/containers. Names are cut to 255 bytes, the limit of file
// systems, keeping the suffix.
func LegacyLogLink(dir, containerID, container, pod, namespace string) string {
	suffix := ".log"
	name := fmt.Sprintf("%s_%s_%s-%s", pod, namespace, container, containerID)
	if n := 255 - len(suffix); len(name) > n {
		name = name[:n]
	}
	return filepath.Join(dir, name+suffix)
}

// MakeLogDirs creates the pod's and the container's log directory.
func MakeLogDirs(node *Node, pod *corev1.Pod, container string) error {
	dir := filepath.Join(PodLogDir(node.PodLogs, pod.Namespace, pod.Name, pod.UID), container)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("create container log directory for container %s failed: %w", container, err)
	}
	return nil
}
