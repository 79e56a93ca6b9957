// Package servicepods finds the pods of a service and the services of a pod,
// for the controllers that publish endpoints.
package servicepods

import (
	"slices"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
	"proa/controller/podstate"
)

// Of returns the pods that a service selects, in order of name.
func Of(svc *v1.Service, pods corelisters.PodLister) ([]*v1.Pod, error) {
	list, err := pods.Pods(svc.Namespace).List(labels.Set(svc.Spec.Selector).AsSelectorPreValidated())
	if err != nil {
		return nil, err
	}
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b *v1.Pod) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list, nil
}

// Selecting returns the services that an event on a pod concerns: those that
// select it, or did before. Events that change nothing an endpoint shows give
// none.
func Selecting(old, pod *v1.Pod, deleted bool, services corelisters.ServiceLister) []controller.Key {
	if old != nil && !deleted && !shows(old, pod) {
		return nil
	}
	list, err := services.Services(pod.Namespace).List(labels.Everything())
	if err != nil {
		return nil
	}
	var keys []controller.Key
	for _, s := range list {
		if len(s.Spec.Selector) == 0 {
			continue
		}
		sel := labels.Set(s.Spec.Selector).AsSelectorPreValidated()
		if sel.Matches(labels.Set(pod.Labels)) || old != nil && sel.Matches(labels.Set(old.Labels)) {
			keys = append(keys, controller.Key{Namespace: s.Namespace, Name: s.Name})
		}
	}
	return keys
}

// shows reports whether endpoints made of the two states would differ.
func shows(a, b *v1.Pod) bool {
	return podstate.Ready(a) != podstate.Ready(b) || podstate.Finished(a) != podstate.Finished(b) ||
		(a.DeletionTimestamp == nil) != (b.DeletionTimestamp == nil) ||
		a.Spec.NodeName != b.Spec.NodeName || a.Spec.Hostname != b.Spec.Hostname || a.Spec.Subdomain != b.Spec.Subdomain ||
		!equality.Semantic.DeepEqual(a.Status.PodIPs, b.Status.PodIPs) || !equality.Semantic.DeepEqual(a.Labels, b.Labels)
}

// Hostname is the name under which a pod is known in a headless service, or "".
func Hostname(svc *v1.Service, pod *v1.Pod) string {
	if pod.Spec.Hostname != "" && pod.Spec.Subdomain == svc.Name && svc.Namespace == pod.Namespace {
		return pod.Spec.Hostname
	}
	return ""
}

// TargetPort resolves a service's port on a pod; ok is false where the pod has
// no port of that name.
func TargetPort(pod *v1.Pod, p *v1.ServicePort) (port int32, ok bool) {
	switch p.TargetPort.Type {
	case intstr.Int:
		if p.TargetPort.IntVal == 0 {
			return p.Port, true
		}
		return p.TargetPort.IntVal, true
	default:
		for _, list := range [][]v1.Container{pod.Spec.Containers, sidecars(pod)} {
			for i := range list {
				for _, cp := range list[i].Ports {
					if cp.Name == p.TargetPort.StrVal && protocol(cp.Protocol) == protocol(p.Protocol) {
						return cp.ContainerPort, true
					}
				}
			}
		}
	}
	return 0, false
}

func protocol(p v1.Protocol) v1.Protocol {
	if p == "" {
		return v1.ProtocolTCP
	}
	return p
}

func sidecars(pod *v1.Pod) (out []v1.Container) {
	for i := range pod.Spec.InitContainers {
		if r := pod.Spec.InitContainers[i].RestartPolicy; r != nil && *r == v1.ContainerRestartPolicyAlways {
			out = append(out, pod.Spec.InitContainers[i])
		}
	}
	return out
}
