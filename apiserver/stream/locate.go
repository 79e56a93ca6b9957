package stream

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/apiserver/backend"
)

const defaultKubeletPort = 10250

// agentOf finds the node agent of a node.
func agentOf(n *corev1.Node) (*url.URL, error) {
	port := n.Status.DaemonEndpoints.KubeletEndpoint.Port
	if port == 0 {
		port = defaultKubeletPort
	}
	for _, t := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
		for _, a := range n.Status.Addresses {
			if a.Type != t {
				continue
			}
			ip, err := backend.Reachable(a.Address)
			if err != nil {
				return nil, err
			}
			return &url.URL{Scheme: "https", Host: netip.AddrPortFrom(ip, uint16(port)).String()}, nil
		}
	}
	return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("node %s has no address that can be reached", n.Name))
}

// agentOfPod finds the node agent of a pod.
func (s *streams) agentOfPod(ctx context.Context, pod *corev1.Pod) (*url.URL, error) {
	if pod.Spec.NodeName == "" {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("pod %s does not have a host assigned", pod.Name))
	}
	n, err := s.objects.Node(ctx, pod.Spec.NodeName)
	if err != nil {
		return nil, err
	}
	return agentOf(n)
}

// containerOf checks the container that was asked for, or finds the one that is
// meant.
func containerOf(pod *corev1.Pod, name string) (string, error) {
	var all, names []string
	for i := range pod.Spec.Containers {
		names = append(names, pod.Spec.Containers[i].Name)
	}
	all = append(all, names...)
	for i := range pod.Spec.InitContainers {
		all = append(all, pod.Spec.InitContainers[i].Name)
	}
	for i := range pod.Spec.EphemeralContainers {
		all = append(all, pod.Spec.EphemeralContainers[i].Name)
	}
	switch {
	case name != "" && slices.Contains(all, name):
		return name, nil
	case name != "":
		return "", apierrors.NewBadRequest(fmt.Sprintf("container %s is not valid for pod %s", name, pod.Name))
	case len(names) == 1:
		return names[0], nil
	case len(names) == 0:
		return "", apierrors.NewBadRequest(fmt.Sprintf("a container name must be specified for pod %s", pod.Name))
	}
	msg := fmt.Sprintf("a container name must be specified for pod %s, choose one of: %s", pod.Name, names)
	if len(pod.Spec.InitContainers) > 0 {
		msg += fmt.Sprintf(" or one of the init containers: %s", all[len(names):len(names)+len(pod.Spec.InitContainers)])
	}
	return "", apierrors.NewBadRequest(msg)
}

// target is the "scheme:name:port" form in which pods, services and nodes are
// named in proxy URLs.
type target struct{ scheme, name, port string }

func parseTarget(id string) (target, error) {
	parts := strings.Split(id, ":")
	switch len(parts) {
	case 1:
		return target{name: parts[0]}, nil
	case 2:
		return target{name: parts[0], port: parts[1]}, nil
	case 3:
		if parts[0] == "" || parts[0] == "http" || parts[0] == "https" {
			return target{parts[0], parts[1], parts[2]}, nil
		}
	}
	return target{}, apierrors.NewBadRequest(fmt.Sprintf("invalid proxy request %q", id))
}

func (t target) url(host string) *url.URL {
	scheme := t.scheme
	if scheme == "" {
		scheme = "http"
	}
	return &url.URL{Scheme: scheme, Host: host}
}

// locatePod finds where a pod listens.
func (s *streams) locatePod(ctx context.Context, namespace, id string) (*url.URL, error) {
	t, err := parseTarget(id)
	if err != nil {
		return nil, err
	}
	pod, err := s.objects.Pod(ctx, namespace, t.name)
	if err != nil {
		return nil, err
	}
	port := t.port
	if port == "" {
		for i := range pod.Spec.Containers {
			if p := pod.Spec.Containers[i].Ports; len(p) > 0 {
				port = strconv.Itoa(int(p[0].ContainerPort))
				break
			}
		}
	}
	for i := range pod.Spec.Containers {
		for _, p := range pod.Spec.Containers[i].Ports {
			if p.Name != "" && p.Name == port {
				port = strconv.Itoa(int(p.ContainerPort))
			}
		}
	}
	if pod.Status.PodIP == "" {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("pod %s has no address yet", pod.Name))
	}
	ip, err := backend.Reachable(pod.Status.PodIP)
	if err != nil {
		return nil, err
	}
	if port == "" {
		host := ip.String()
		if ip.Is6() {
			host = "[" + host + "]"
		}
		return t.url(host), nil
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("pod %s has no port %q", pod.Name, port))
	}
	return t.url(net.JoinHostPort(ip.String(), port)), nil
}

// locateService finds a ready endpoint of a service.
func (s *streams) locateService(ctx context.Context, namespace, id string) (*url.URL, error) {
	t, err := parseTarget(id)
	if err != nil {
		return nil, err
	}
	a, err := backend.OfService(ctx, s.objects, namespace, t.name, t.port)
	if err != nil {
		return nil, err
	}
	return t.url(a.String()), nil
}

// locateNode finds a node agent, or another port of the node.
func (s *streams) locateNode(ctx context.Context, id string) (u *url.URL, agent bool, err error) {
	t, err := parseTarget(id)
	if err != nil {
		return nil, false, err
	}
	n, err := s.objects.Node(ctx, t.name)
	if err != nil {
		return nil, false, err
	}
	if u, err = agentOf(n); err != nil {
		return nil, false, err
	}
	if t.port == "" || t.port == u.Port() {
		return u, true, nil
	}
	if _, err := strconv.ParseUint(t.port, 10, 16); err != nil {
		return nil, false, apierrors.NewBadRequest(fmt.Sprintf("invalid port %q", t.port))
	}
	return t.url(net.JoinHostPort(u.Hostname(), t.port)), false, nil
}
