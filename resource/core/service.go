package core

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

// Service is the row of services. Cluster IPs and node ports are not given by
// a hook, since that takes state outside of the object: see
// [resource.Allocator], and network/ipalloc for the one that the server uses.
func Service() *resource.Definition {
	spec := corev1.ServiceSpec{}.SwaggerDoc()
	return resource.Row[*corev1.Service]{
		Storage:        corev1.SchemeGroupVersion,
		Kind:           "Service",
		Plural:         "services",
		ShortNames:     []string{"svc"},
		Categories:     []string{"all"},
		Prefix:         "services/specs",
		New:            func() *corev1.Service { return new(corev1.Service) },
		NewList:        func() runtime.Object { return new(corev1.ServiceList) },
		ValidateName:   apivalidation.NameIsDNSLabel,
		CreateOnUpdate: true,
		Default:        defaultService,
		PrepareCreate: func(_ *resource.Request, s *corev1.Service) {
			s.Status = corev1.ServiceStatus{}
			agreeOnClusterIPs(s, nil)
		},
		PrepareUpdate:  prepareServiceUpdate,
		Validate:       func(s *corev1.Service) field.ErrorList { return validateService(s, nil) },
		ValidateUpdate: validateServiceUpdate,
		Warnings:       serviceWarnings,
		Updates: map[string]resource.Update[*corev1.Service]{
			"status": {
				PrepareUpdate:  func(_ *resource.Request, s, old *corev1.Service) { s.Spec = old.Spec },
				ValidateUpdate: validateServiceStatus,
			},
		},
		Connects: []resource.Connect{{Name: "proxy", Kind: podKind("ServiceProxyOptions"), Verbs: proxyVerbs}},
		Fields: func(s *corev1.Service) map[string]string {
			return map[string]string{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
		},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Type", spec["type"]),
			columns.String("Cluster-IP", spec["clusterIP"]),
			columns.String("External-IP", spec["externalIPs"]),
			columns.String("Port(s)", spec["ports"]),
			columns.Age(),
			columns.Wide(columns.String("Selector", spec["selector"])),
		},
		Cells: func(s *corev1.Service, now time.Time) []any {
			ip := columns.None
			if len(s.Spec.ClusterIPs) > 0 {
				ip = s.Spec.ClusterIPs[0]
			}
			return []any{
				s.Name, string(s.Spec.Type), ip, externalIPCell(s), portsCell(s.Spec.Ports),
				columns.Since(s.CreationTimestamp, now), columns.Labels(s.Spec.Selector),
			}
		},
	}.Define()
}

func externalIPCell(s *corev1.Service) string {
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort:
		return orNone(strings.Join(s.Spec.ExternalIPs, ","))
	case corev1.ServiceTypeLoadBalancer:
		given := sets.New[string]()
		for _, i := range s.Status.LoadBalancer.Ingress {
			switch {
			case i.IP != "":
				given.Insert(i.IP)
			case i.Hostname != "":
				given.Insert(i.Hostname)
			}
		}
		all := append(sets.List(given), s.Spec.ExternalIPs...)
		if len(all) == 0 {
			return "<pending>"
		}
		return strings.Join(all, ",")
	case corev1.ServiceTypeExternalName:
		return s.Spec.ExternalName
	}
	return columns.Unknown
}

func portsCell(ports []corev1.ServicePort) string {
	out := make([]string, len(ports))
	for i, p := range ports {
		out[i] = fmt.Sprintf("%d/%s", p.Port, p.Protocol)
		if p.NodePort > 0 {
			out[i] = fmt.Sprintf("%d:%d/%s", p.Port, p.NodePort, p.Protocol)
		}
	}
	return orNone(strings.Join(out, ","))
}

func defaultService(s *corev1.Service) {
	sp := &s.Spec
	setDefault(&sp.SessionAffinity, corev1.ServiceAffinityNone)
	switch sp.SessionAffinity {
	case corev1.ServiceAffinityNone:
		sp.SessionAffinityConfig = nil
	case corev1.ServiceAffinityClientIP:
		if c := sp.SessionAffinityConfig; c == nil || c.ClientIP == nil || c.ClientIP.TimeoutSeconds == nil {
			timeout := corev1.DefaultClientIPServiceAffinitySeconds
			sp.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &timeout}}
		}
	}
	setDefault(&sp.Type, corev1.ServiceTypeClusterIP)
	for i := range sp.Ports {
		p := &sp.Ports[i]
		setDefault(&p.Protocol, corev1.ProtocolTCP)
		if p.TargetPort == intstr.FromInt32(0) || p.TargetPort == intstr.FromString("") {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if externallyAccessible(s) {
		setDefault(&sp.ExternalTrafficPolicy, corev1.ServiceExternalTrafficPolicyCluster)
	}
	if needsClusterIP(s) {
		setPointer(&sp.InternalTrafficPolicy, corev1.ServiceInternalTrafficPolicyCluster)
	}
	if sp.Type == corev1.ServiceTypeLoadBalancer {
		setPointer(&sp.AllocateLoadBalancerNodePorts, true)
		for i := range s.Status.LoadBalancer.Ingress {
			if in := &s.Status.LoadBalancer.Ingress[i]; in.IP != "" {
				setPointer(&in.IPMode, corev1.LoadBalancerIPModeVIP)
			}
		}
	}
}

func needsClusterIP(s *corev1.Service) bool {
	switch s.Spec.Type {
	case corev1.ServiceTypeClusterIP, corev1.ServiceTypeNodePort, corev1.ServiceTypeLoadBalancer:
		return true
	}
	return false
}

// isExternalName reports whether a service has no addresses of the cluster. One of
// a type that is refused counts as having them.
func isExternalName(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeExternalName
}

// needsNodePort reports whether the ports of a service get ports of the nodes.
func needsNodePort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort ||
		s.Spec.Type == corev1.ServiceTypeLoadBalancer && (s.Spec.AllocateLoadBalancerNodePorts == nil || *s.Spec.AllocateLoadBalancerNodePorts)
}

// needsHealthPort reports whether load balancers have to ask nodes if they
// have endpoints of the service.
func needsHealthPort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func isHeadless(s *corev1.Service) bool {
	return len(s.Spec.ClusterIPs) == 1 && s.Spec.ClusterIPs[0] == corev1.ClusterIPNone
}

func externallyAccessible(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer || s.Spec.Type == corev1.ServiceTypeNodePort ||
		s.Spec.Type == corev1.ServiceTypeClusterIP && len(s.Spec.ExternalIPs) > 0
}

// NodePortNeeds says which ports of the nodes a service is to have.
type NodePortNeeds struct {
	// Any: it has, or is to have, at least one.
	Any bool
	// Ports: each of its ports gets one that has none.
	Ports bool
	// Health: load balancers ask for its endpoints at one.
	Health bool
}

// NodePortsWanted tells an allocator what to give to a service.
func NodePortsWanted(s *corev1.Service) NodePortNeeds {
	n := NodePortNeeds{Ports: needsNodePort(s), Health: needsHealthPort(s)}
	n.Any = n.Ports || n.Health
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer {
		for _, p := range s.Spec.Ports {
			n.Any = n.Any || p.NodePort != 0
		}
	}
	return n
}
