package cri

import (
	"net"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// serviceEnv are the variables that announce services: all of the pod's
// namespace if links is set, and the API server's own always.
func serviceEnv(namespace string, services []*corev1.Service, links bool) map[string]string {
	byName := map[string]*corev1.Service{}
	for _, s := range services {
		if !hasClusterIP(s) {
			continue
		}
		switch {
		case s.Namespace == corev1.NamespaceDefault && s.Name == "kubernetes":
			// A service of that name in the pod's own namespace hides it.
			if _, ok := byName[s.Name]; !ok {
				byName[s.Name] = s
			}
		case s.Namespace == namespace && links:
			byName[s.Name] = s
		}
	}
	env := map[string]string{}
	for _, s := range byName {
		addServiceEnv(env, s)
	}
	return env
}

func hasClusterIP(s *corev1.Service) bool {
	return s.Spec.ClusterIP != "" && s.Spec.ClusterIP != corev1.ClusterIPNone
}

// addServiceEnv writes one service in the two classic forms: Kubernetes' own
// and that of container links.
func addServiceEnv(env map[string]string, s *corev1.Service) {
	if len(s.Spec.Ports) == 0 {
		return
	}
	name, ip := envName(s.Name), s.Spec.ClusterIP
	env[name+"_SERVICE_HOST"] = ip
	env[name+"_SERVICE_PORT"] = strconv.Itoa(int(s.Spec.Ports[0].Port))
	for i, p := range s.Spec.Ports {
		port := strconv.Itoa(int(p.Port))
		if p.Name != "" {
			env[name+"_SERVICE_PORT_"+envName(p.Name)] = port
		}
		proto := string(p.Protocol)
		if proto == "" {
			proto = string(corev1.ProtocolTCP)
		}
		url := strings.ToLower(proto) + "://" + net.JoinHostPort(ip, port)
		if i == 0 {
			env[name+"_PORT"] = url
		}
		prefix := name + "_PORT_" + port + "_" + strings.ToUpper(proto)
		env[prefix] = url
		env[prefix+"_PROTO"] = strings.ToLower(proto)
		env[prefix+"_PORT"] = port
		env[prefix+"_ADDR"] = ip
	}
}

func envName(s string) string {
	return strings.ToUpper(strings.ReplaceAll(s, "-", "_"))
}
