package cri

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
)

// FieldValue is the value of a downward API field. node may be nil if only
// metadata is asked for.
func FieldValue(path string, pod *corev1.Pod, node *Node, podIPs []string) (string, error) {
	switch path {
	case "spec.nodeName", "spec.host":
		return pod.Spec.NodeName, nil
	case "spec.serviceAccountName":
		return pod.Spec.ServiceAccountName, nil
	case "status.hostIP":
		if node == nil || len(node.IPs) == 0 {
			return "", nil
		}
		return node.IPs[0], nil
	case "status.hostIPs":
		if node == nil {
			return "", nil
		}
		return strings.Join(node.IPs, ","), nil
	case "status.podIP":
		if len(podIPs) == 0 {
			return "", nil
		}
		return podIPs[0], nil
	case "status.podIPs":
		return strings.Join(podIPs, ","), nil
	}
	return MetadataValue(path, pod)
}

// MetadataValue is the value of a field of the pod's metadata: name,
// namespace, uid, labels, annotations, or one label or annotation by
// subscript.
func MetadataValue(path string, pod *corev1.Pod) (string, error) {
	if base, key, ok := subscript(path); ok {
		switch base {
		case "metadata.annotations":
			// The key is checked as stored, which the API does in lower case.
			if errs := validation.IsQualifiedName(strings.ToLower(key)); len(errs) != 0 {
				return "", fmt.Errorf("invalid key subscript in %s: %s", path, strings.Join(errs, ";"))
			}
			return pod.Annotations[key], nil
		case "metadata.labels":
			if errs := validation.IsQualifiedName(key); len(errs) != 0 {
				return "", fmt.Errorf("invalid key subscript in %s: %s", path, strings.Join(errs, ";"))
			}
			return pod.Labels[key], nil
		}
		return "", fmt.Errorf("fieldPath %q does not support subscript", path)
	}
	switch path {
	case "metadata.annotations":
		return FormatMap(pod.Annotations), nil
	case "metadata.labels":
		return FormatMap(pod.Labels), nil
	case "metadata.name":
		return pod.Name, nil
	case "metadata.namespace":
		return pod.Namespace, nil
	case "metadata.uid":
		return string(pod.UID), nil
	}
	return "", fmt.Errorf("unsupported fieldPath: %v", path)
}

// subscript splits metadata.labels['key'].
func subscript(path string) (base, key string, ok bool) {
	rest, ok := strings.CutSuffix(path, "']")
	if !ok {
		return "", "", false
	}
	base, key, ok = strings.Cut(rest, "['")
	return base, key, ok && base != ""
}

// FormatMap writes labels or annotations one per line, key="value" with the
// value quoted as in Go, sorted by key.
func FormatMap(m map[string]string) string {
	lines := make([]string, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		lines = append(lines, k+"="+strconv.Quote(m[k]))
	}
	return strings.Join(lines, "\n")
}

// ResourceValue is a container's request or limit in units of the selector's
// divisor, rounded up. The selector may name another container of the pod.
// Where a limit is not set, the node's allocatable amount stands for it.
func ResourceValue(sel *corev1.ResourceFieldSelector, pod *corev1.Pod, c *corev1.Container, allocatable corev1.ResourceList) (string, error) {
	if sel.ContainerName != "" && (c == nil || c.Name != sel.ContainerName) {
		if c = FindContainer(pod, sel.ContainerName); c == nil {
			return "", fmt.Errorf("container %s not found", sel.ContainerName)
		}
	}
	if c == nil {
		return "", fmt.Errorf("no container to take %s of", sel.Resource)
	}
	kind, name, ok := strings.Cut(sel.Resource, ".")
	if !ok || !downwardResource(corev1.ResourceName(name)) {
		return "", fmt.Errorf("unsupported container resource : %v", sel.Resource)
	}
	var q resource.Quantity
	switch kind {
	case "requests":
		q = c.Resources.Requests[corev1.ResourceName(name)]
	case "limits":
		q = c.Resources.Limits[corev1.ResourceName(name)]
		if q.IsZero() {
			q = podLimitOr(pod, corev1.ResourceName(name), allocatable)
		}
	default:
		return "", fmt.Errorf("unsupported container resource : %v", sel.Resource)
	}
	return divide(q, sel.Divisor, name == string(corev1.ResourceCPU)), nil
}

// podLimitOr is the pod-level limit where one is set, as it also bounds the
// container, or else what the node has to give.
func podLimitOr(pod *corev1.Pod, name corev1.ResourceName, allocatable corev1.ResourceList) resource.Quantity {
	if pod.Spec.Resources != nil {
		if q, ok := pod.Spec.Resources.Limits[name]; ok && !q.IsZero() {
			return q
		}
	}
	return allocatable[name]
}

func downwardResource(n corev1.ResourceName) bool {
	switch n {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return true
	}
	return strings.HasPrefix(string(n), corev1.ResourceHugePagesPrefix)
}

func divide(q, by resource.Quantity, milli bool) string {
	if by.IsZero() {
		by = resource.MustParse("1")
	}
	v, d := q.Value(), by.Value()
	if milli {
		v, d = q.MilliValue(), by.MilliValue()
	}
	return strconv.FormatInt(int64(math.Ceil(float64(v)/float64(d))), 10)
}

// FindContainer finds a container of any kind by name.
func FindContainer(pod *corev1.Pod, name string) *corev1.Container {
	for i := range pod.Spec.InitContainers {
		if c := &pod.Spec.InitContainers[i]; c.Name == name {
			return c
		}
	}
	for i := range pod.Spec.Containers {
		if c := &pod.Spec.Containers[i]; c.Name == name {
			return c
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if c := &pod.Spec.EphemeralContainers[i]; c.Name == name {
			return (*corev1.Container)(&c.EphemeralContainerCommon)
		}
	}
	return nil
}
