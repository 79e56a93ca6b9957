package pod

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Annotations of pods that come from the node's own sources.
const (
	// SourceAnnotation names the source: "api", "file", "http" or "push".
	SourceAnnotation = "kubernetes.io/config.source"
	// HashSourceAnnotation is the hash of the manifest, which is also the UID.
	HashSourceAnnotation = "kubernetes.io/config.hash"
	// SeenAnnotation is when the agent first saw the pod.
	SeenAnnotation = "kubernetes.io/config.seen"
	// MirrorAnnotation marks a mirror pod; its value is the static pod's hash.
	MirrorAnnotation = v1.MirrorPodAnnotationKey
	// APISource is the value of SourceAnnotation of pods from the API server.
	APISource = "api"
)

// IsStatic reports whether the pod comes from the node's own sources.
func IsStatic(p *v1.Pod) bool {
	s, ok := p.Annotations[SourceAnnotation]
	return ok && s != APISource
}

// IsMirror reports whether an API pod stands for a static pod.
func IsMirror(p *v1.Pod) bool {
	_, ok := p.Annotations[MirrorAnnotation]
	return ok
}

// FullName is the name a static pod and its mirror share: name_namespace.
func FullName(p *v1.Pod) string { return p.Name + "_" + p.Namespace }

// Describe names a pod for people, as messages of the API do.
func Describe(p *v1.Pod) string { return describe(p.Name, p.Namespace, p.UID) }

func describe(name, namespace string, uid types.UID) string {
	return fmt.Sprintf("%s_%s(%s)", name, namespace, uid)
}

// IsTerminal reports whether the API already holds a final phase for the pod.
func IsTerminal(p *v1.Pod) bool {
	return p.Status.Phase == v1.PodSucceeded || p.Status.Phase == v1.PodFailed
}
