package usage

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	proa "proa/resource"
)

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return l
}

func show(l corev1.ResourceList) string {
	var s []string
	for _, k := range slices.Sorted(maps.Keys(l)) {
		q := l[k]
		s = append(s, fmt.Sprintf("%s=%s", k, q.String()))
	}
	return strings.Join(s, " ")
}

func pod(requests, limits corev1.ResourceList, more ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}}}}}
	for _, f := range more {
		f(p)
	}
	return p
}

func TestOf(t *testing.T) {
	t.Parallel()
	now := time.Unix(1e9, 0)
	phase := func(ph corev1.PodPhase) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Status.Phase = ph } }
	deleted := func(ago time.Duration) func(*corev1.Pod) {
		return func(p *corev1.Pod) {
			p.DeletionTimestamp, p.DeletionGracePeriodSeconds = &metav1.Time{Time: now.Add(-ago)}, ptr.To[int64](30)
		}
	}
	service := func(typ corev1.ServiceType, allocate *bool, ports ...int32) *corev1.Service {
		s := &corev1.Service{Spec: corev1.ServiceSpec{Type: typ, AllocateLoadBalancerNodePorts: allocate}}
		for _, n := range ports {
			s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{NodePort: n})
		}
		return s
	}
	claim := &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{
		StorageClassName: ptr.To("fast"), Resources: corev1.VolumeResourceRequirements{Requests: list("storage", "1Gi")},
	}}
	growing := claim.DeepCopy()
	growing.Status.AllocatedResources = list("storage", "2Gi")
	tests := map[string]struct {
		of   string
		obj  proa.Object
		want string
	}{
		"pod":      {"pods", pod(list("cpu", "1", "memory", "1Gi"), list("cpu", "2")), "count/pods=1 cpu=1 limits.cpu=2 memory=1Gi pods=1 requests.cpu=1 requests.memory=1Gi"},
		"extended": {"pods", pod(list("example.com/gpu", "2", "hugepages-2Mi", "4Mi"), nil), "count/pods=1 hugepages-2Mi=4Mi pods=1 requests.example.com/gpu=2 requests.hugepages-2Mi=4Mi"},
		"init containers": {"pods", pod(list("cpu", "1"), nil, func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{{Resources: corev1.ResourceRequirements{Requests: list("cpu", "3")}}}
		}), "count/pods=1 cpu=3 pods=1 requests.cpu=3"},
		"finished":         {"pods", pod(list("cpu", "1"), nil, phase(corev1.PodSucceeded)), "count/pods=1"},
		"terminating":      {"pods", pod(list("cpu", "1"), nil, deleted(time.Second)), "count/pods=1 cpu=1 pods=1 requests.cpu=1"},
		"stuck":            {"pods", pod(list("cpu", "1"), nil, deleted(time.Minute)), "count/pods=1"},
		"cluster IP":       {"services", service(corev1.ServiceTypeClusterIP, nil, 0), "count/services=1 services=1 services.loadbalancers=0 services.nodeports=0"},
		"node ports":       {"services", service(corev1.ServiceTypeNodePort, nil, 0, 0), "count/services=1 services=1 services.loadbalancers=0 services.nodeports=2"},
		"load balancer":    {"services", service(corev1.ServiceTypeLoadBalancer, nil, 0, 0), "count/services=1 services=1 services.loadbalancers=1 services.nodeports=2"},
		"without ports":    {"services", service(corev1.ServiceTypeLoadBalancer, ptr.To(false), 0, 30000), "count/services=1 services=1 services.loadbalancers=1 services.nodeports=1"},
		"claim":            {"persistentvolumeclaims", claim, "count/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/requests.storage=1Gi persistentvolumeclaims=1 requests.storage=1Gi"},
		"growing claim":    {"persistentvolumeclaims", growing, "count/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/persistentvolumeclaims=1 fast.storageclass.storage.k8s.io/requests.storage=2Gi persistentvolumeclaims=1 requests.storage=2Gi"},
		"secret":           {"secrets", &corev1.Secret{}, "count/secrets=1 secrets=1"},
		"of another group": {"deployments.apps", &corev1.Secret{}, "count/deployments.apps=1"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gr := schema.ParseGroupResource(test.of)
			used := Of(gr, test.obj, now)
			if got := show(used); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
			for n := range used {
				if !Counts(gr, n) {
					t.Errorf("%s is used and not counted", n)
				}
			}
		})
	}
	if Counts(corev1.Resource("pods"), "services") || Counts(corev1.Resource("pods"), "requests.storage") || Counts(corev1.Resource("secrets"), "pods") {
		t.Error("counted for another kind")
	}
}

func TestScopes(t *testing.T) {
	t.Parallel()
	expr := func(s corev1.ResourceQuotaScope, op corev1.ScopeSelectorOperator, values ...string) *corev1.ResourceQuotaSpec {
		return &corev1.ResourceQuotaSpec{ScopeSelector: &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{{ScopeName: s, Operator: op, Values: values}}}}
	}
	scopes := func(s ...corev1.ResourceQuotaScope) *corev1.ResourceQuotaSpec {
		return &corev1.ResourceQuotaSpec{Scopes: s}
	}
	ends := func(p *corev1.Pod) { p.Spec.ActiveDeadlineSeconds = ptr.To[int64](5) }
	class := func(p *corev1.Pod) { p.Spec.PriorityClassName = "high" }
	elsewhere := func(p *corev1.Pod) {
		p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{Namespaces: []string{"x"}}}}}
	}
	tests := map[string]struct {
		q    *corev1.ResourceQuotaSpec
		obj  proa.Object
		want bool
	}{
		"no scope":            {scopes(), pod(nil, nil), true},
		"terminating":         {scopes(corev1.ResourceQuotaScopeTerminating), pod(nil, nil, ends), true},
		"not terminating":     {scopes(corev1.ResourceQuotaScopeNotTerminating), pod(nil, nil, ends), false},
		"best effort":         {scopes(corev1.ResourceQuotaScopeBestEffort), pod(nil, nil), true},
		"zero is best effort": {scopes(corev1.ResourceQuotaScopeBestEffort), pod(list("cpu", "0"), nil), true},
		"limit is not":        {scopes(corev1.ResourceQuotaScopeBestEffort), pod(nil, list("memory", "1")), false},
		"all must":            {scopes(corev1.ResourceQuotaScopeBestEffort, corev1.ResourceQuotaScopeTerminating), pod(nil, nil), false},
		"class in":            {expr(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpIn, "high"), pod(nil, nil, class), true},
		"class not in":        {expr(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpNotIn, "high"), pod(nil, nil, class), false},
		"no class, not in":    {expr(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpNotIn, "high"), pod(nil, nil), true},
		"class exists":        {expr(corev1.ResourceQuotaScopePriorityClass, corev1.ScopeSelectorOpExists), pod(nil, nil), false},
		"crosses":             {scopes(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), pod(nil, nil, elsewhere), true},
		"does not cross":      {scopes(corev1.ResourceQuotaScopeCrossNamespacePodAffinity), pod(nil, nil), false},
		"not a pod":           {scopes(corev1.ResourceQuotaScopeBestEffort), &corev1.Service{}, false},
		"class of a claim":    {expr(corev1.ResourceQuotaScopeVolumeAttributesClass, corev1.ScopeSelectorOpIn, "gold"), &corev1.PersistentVolumeClaim{Spec: corev1.PersistentVolumeClaimSpec{VolumeAttributesClassName: ptr.To("gold")}}, true},
	}
	for name, test := range tests {
		if got := Matches(test.q, test.obj); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
