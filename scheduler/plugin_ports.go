package scheduler

import v1 "k8s.io/api/core/v1"

// hostPort is a port of the node that a pod takes.
type hostPort struct {
	protocol v1.Protocol
	ip       string
	port     int32
}

const anyIP = "0.0.0.0"

// hostPorts lists the host ports of containers and restartable init
// containers: those are what can be held at the same time.
func hostPorts(spec *v1.PodSpec) []hostPort {
	var out []hostPort
	add := func(c *v1.Container) {
		for _, p := range c.Ports {
			if p.HostPort <= 0 {
				continue
			}
			h := hostPort{protocol: p.Protocol, ip: p.HostIP, port: p.HostPort}
			if h.protocol == "" {
				h.protocol = v1.ProtocolTCP
			}
			if h.ip == "" {
				h.ip = anyIP
			}
			out = append(out, h)
		}
	}
	for i := range spec.Containers {
		add(&spec.Containers[i])
	}
	for i := range spec.InitContainers {
		if c := &spec.InitContainers[i]; c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways {
			add(c)
		}
	}
	return out
}

// portSet counts the host ports in use on a node.
type portSet map[hostPort]int

func (s *portSet) add(ports []hostPort) {
	if len(ports) > 0 && *s == nil {
		*s = portSet{}
	}
	for _, p := range ports {
		(*s)[p]++
	}
}

func (s *portSet) remove(ports []hostPort) {
	for _, p := range ports {
		if (*s)[p]--; (*s)[p] <= 0 {
			delete(*s, p)
		}
	}
}

// taken reports whether the port conflicts with one in use: the address of
// all interfaces conflicts with every other.
func (s portSet) taken(p hostPort) bool {
	if p.ip != anyIP {
		return s[p] > 0 || s[hostPort{p.protocol, anyIP, p.port}] > 0
	}
	for q := range s {
		if q.protocol == p.protocol && q.port == p.port {
			return true
		}
	}
	return false
}

// nodePorts refuses nodes on which a host port of the pod is taken.
type nodePorts struct{}

func (nodePorts) Name() string { return "NodePorts" }

func (nodePorts) Refuse(s *shape, n *node) []string {
	for _, p := range s.ports {
		if n.ports.taken(p) {
			return []string{"node(s) didn't have free ports for the requested pod ports"}
		}
	}
	return nil
}

func (nodePorts) Curable(*shape, *node) bool { return true }

func (nodePorts) Wakes(c Change) bool { return c.NodeAdded || c.PodRemoved }
