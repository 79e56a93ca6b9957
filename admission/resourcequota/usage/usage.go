// Package usage computes what an object takes from the resource quotas of its
// namespace. The admission plugin ResourceQuota and the controller of the same
// name both count with it, so that they agree.
//
// [Of] is what an object uses; [Matches] whether a quota's scopes choose it;
// [Missing] what a pod must say so that it can be counted.
package usage

import (
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/runtime/schema"

	proa "proa/resource"
)

// countPrefix begins the name of a quota for the number of objects.
const countPrefix = "count/"

// CountName is the name of the quota for the number of objects of a resource.
func CountName(gr schema.GroupResource) corev1.ResourceName {
	return corev1.ResourceName(countPrefix + gr.String())
}

// plainCounts are the resources whose number has a quota name of its own
// beside the generic one.
func plainCount(gr schema.GroupResource) (corev1.ResourceName, bool) {
	if gr.Group != "" {
		return "", false
	}
	switch gr.Resource {
	case "replicationcontrollers", "resourcequotas", "secrets", "configmaps":
		return corev1.ResourceName(gr.Resource), true
	}
	return "", false
}

// Of is what an object of a resource uses at a time.
func Of(gr schema.GroupResource, obj proa.Object, now time.Time) corev1.ResourceList {
	used := corev1.ResourceList{CountName(gr): *resource.NewQuantity(1, resource.DecimalSI)}
	if n, ok := plainCount(gr); ok {
		used[n] = *resource.NewQuantity(1, resource.DecimalSI)
	}
	switch o := obj.(type) {
	case *corev1.Pod:
		ofPod(used, o, now)
	case *corev1.Service:
		ofService(used, o)
	case *corev1.PersistentVolumeClaim:
		ofClaim(used, o)
	}
	return used
}

// Counts reports whether a quota of this name counts objects of a resource.
func Counts(gr schema.GroupResource, name corev1.ResourceName) bool {
	if name == CountName(gr) {
		return true
	}
	if n, ok := plainCount(gr); ok && n == name {
		return true
	}
	if gr.Group != "" {
		return false
	}
	switch gr.Resource {
	case "pods":
		return ofPods(name)
	case "services":
		return name == corev1.ResourceServices || name == corev1.ResourceServicesNodePorts || name == corev1.ResourceServicesLoadBalancers
	case "persistentvolumeclaims":
		return ofClaims(name)
	}
	return false
}

// Counted parses the name of a quota for a number of objects.
func Counted(name corev1.ResourceName) (schema.GroupResource, bool) {
	s, ok := strings.CutPrefix(string(name), countPrefix)
	if !ok {
		return schema.GroupResource{}, false
	}
	return schema.ParseGroupResource(s), true
}

// Relevant is the part of a usage that a quota limits.
func Relevant(used, hard corev1.ResourceList) corev1.ResourceList {
	r := corev1.ResourceList{}
	for k, v := range used {
		if _, ok := hard[k]; ok {
			r[k] = v
		}
	}
	return r
}

// Add returns a + b.
func Add(a, b corev1.ResourceList) corev1.ResourceList {
	sum := corev1.ResourceList{}
	for k, v := range a {
		sum[k] = v.DeepCopy()
	}
	for k, v := range b {
		s := sum[k]
		if s.IsZero() {
			s = v.DeepCopy()
		} else {
			s.Add(v)
		}
		sum[k] = s
	}
	return sum
}

// Less returns a - b, for all names of both.
func Less(a, b corev1.ResourceList) corev1.ResourceList {
	neg := corev1.ResourceList{}
	for k, v := range b {
		n := v.DeepCopy()
		n.Neg()
		neg[k] = n
	}
	return Add(a, neg)
}
