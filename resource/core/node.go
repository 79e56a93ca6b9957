package core

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

// Node is the row of nodes, kept under the key that they have had from the
// beginning.
func Node() *resource.Definition {
	return resource.Row[*corev1.Node]{
		Storage:       corev1.SchemeGroupVersion,
		Kind:          "Node",
		Plural:        "nodes",
		ShortNames:    []string{"no"},
		ClusterScoped: true,
		Prefix:        "minions",
		New:           func() *corev1.Node { return new(corev1.Node) },
		NewList:       func() runtime.Object { return new(corev1.NodeList) },
		ValidateName:  apivalidation.NameIsDNSSubdomain,
		Default:       defaultNode,
		// The status may be set at creation: a kubelet registers with it.
		PrepareCreate: prepareNodeCreate,
		PrepareUpdate: prepareNodeUpdate,
		Validate:      validateNode,
		ValidateUpdate: func(n, old *corev1.Node) field.ErrorList {
			return append(validateNode(n), validateNodeUpdate(n, old)...)
		},
		Warnings: nodeWarnings,
		Updates: map[string]resource.Update[*corev1.Node]{
			"status": {
				PrepareUpdate:  prepareNodeStatus,
				ValidateUpdate: validateNodeUpdate,
			},
		},
		Connects: []resource.Connect{{
			Name:  "proxy",
			Kind:  corev1.SchemeGroupVersion.WithKind("NodeProxyOptions"),
			Verbs: proxyVerbs,
		}},
		Fields: func(n *corev1.Node) map[string]string {
			return map[string]string{"spec.unschedulable": strconv.FormatBool(n.Spec.Unschedulable)}
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Status", "The status of the node"),
			columns.String("Roles", "The roles of the node"),
			columns.Age(),
			columns.String("Version", corev1.NodeSystemInfo{}.SwaggerDoc()["kubeletVersion"]),
			columns.Wide(columns.String("Internal-IP", corev1.NodeStatus{}.SwaggerDoc()["addresses"])),
			columns.Wide(columns.String("External-IP", corev1.NodeStatus{}.SwaggerDoc()["addresses"])),
			columns.Wide(columns.String("OS-Image", corev1.NodeSystemInfo{}.SwaggerDoc()["osImage"])),
			columns.Wide(columns.String("Kernel-Version", corev1.NodeSystemInfo{}.SwaggerDoc()["kernelVersion"])),
			columns.Wide(columns.String("Container-Runtime", corev1.NodeSystemInfo{}.SwaggerDoc()["containerRuntimeVersion"])),
		},
		Cells: nodeCells,
	}.Define()
}

// proxyVerbs is what discovery says of every proxy subresource.
var proxyVerbs = []string{"create", "delete", "get", "patch", "update"}

func defaultNode(n *corev1.Node) {
	agreeOnPodCIDRs(&n.Spec)
	roundUp(&n.Status.Capacity)
	if n.Status.Allocatable == nil && n.Status.Capacity != nil {
		n.Status.Allocatable = maps.Clone(n.Status.Capacity)
	}
	roundUp(&n.Status.Allocatable)
}

// agreeOnPodCIDRs keeps podCIDR the first of podCIDRs. Where they differ podCIDR
// rules, since an old client may know only that.
func agreeOnPodCIDRs(s *corev1.NodeSpec) {
	switch {
	case s.PodCIDR == "" && len(s.PodCIDRs) > 0:
		s.PodCIDR = s.PodCIDRs[0]
	case s.PodCIDR != "" && (len(s.PodCIDRs) == 0 || s.PodCIDRs[0] != s.PodCIDR):
		s.PodCIDRs = []string{s.PodCIDR}
	}
}

// Labels that give a node a role.
const (
	nodeRolePrefix = "node-role.kubernetes.io/"
	nodeRoleLabel  = "kubernetes.io/role"
)

func nodeRoles(n *corev1.Node) string {
	var roles []string
	for k, v := range n.Labels {
		if role, ok := strings.CutPrefix(k, nodeRolePrefix); ok && role != "" {
			roles = append(roles, role)
		} else if k == nodeRoleLabel && v != "" {
			roles = append(roles, v)
		}
	}
	slices.Sort(roles)
	return orNone(strings.Join(slices.Compact(roles), ","))
}

func nodeCells(n *corev1.Node, now time.Time) []any {
	status := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			status = "NotReady"
			if c.Status == corev1.ConditionTrue {
				status = "Ready"
			}
		}
	}
	if n.Spec.Unschedulable {
		status += ",SchedulingDisabled"
	}
	address := func(t corev1.NodeAddressType) string {
		for _, a := range n.Status.Addresses {
			if a.Type == t {
				return a.Address
			}
		}
		return columns.None
	}
	orUnknown := func(s string) string {
		if s == "" {
			return columns.Unknown
		}
		return s
	}
	info := &n.Status.NodeInfo
	return []any{
		n.Name, status, nodeRoles(n), columns.Since(n.CreationTimestamp, now), info.KubeletVersion,
		address(corev1.NodeInternalIP), address(corev1.NodeExternalIP),
		orUnknown(info.OSImage), orUnknown(info.KernelVersion), orUnknown(info.ContainerRuntimeVersion),
	}
}

func orNone(s string) string {
	if s == "" {
		return columns.None
	}
	return s
}
