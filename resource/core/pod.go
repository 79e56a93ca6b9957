package core

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"proa/resource"
)

// Pod is the row of pods.
func Pod() *resource.Definition {
	return resource.Row[*corev1.Pod]{
		Storage:        corev1.SchemeGroupVersion,
		Kind:           "Pod",
		Plural:         "pods",
		ShortNames:     []string{"po"},
		Categories:     []string{"all"},
		New:            func() *corev1.Pod { return new(corev1.Pod) },
		NewList:        func() runtime.Object { return new(corev1.PodList) },
		ValidateName:   apivalidation.NameIsDNSSubdomain,
		Default:        DefaultPod,
		PrepareCreate:  preparePodCreate,
		PrepareUpdate:  preparePodUpdate,
		Validate:       ValidatePod,
		ValidateUpdate: validatePodUpdate,
		Warnings:       podWarnings,
		Spec:           func(p *corev1.Pod) any { return &p.Spec },
		Graceful:       podGracePeriod,
		ReturnDeleted:  true,
		Updates: map[string]resource.Update[*corev1.Pod]{
			"status": {
				Restored:       []string{"metadata.deletionTimestamp", "metadata.ownerReferences"},
				PrepareUpdate:  preparePodStatus,
				ValidateUpdate: validatePodStatusUpdate,
			},
			"ephemeralcontainers": {
				PrepareUpdate:  preparePodEphemeralContainers,
				ValidateUpdate: validatePodEphemeralContainersUpdate,
				Warnings:       podWarnings,
			},
			"resize": {
				PrepareUpdate:  preparePodResize,
				ValidateUpdate: validatePodResize,
				Warnings:       podWarnings,
			},
		},
		Connects: []resource.Connect{
			{Name: "attach", Kind: podKind("PodAttachOptions"), Verbs: []string{"create", "get"}},
			{Name: "binding", Kind: podKind("Binding"), Verbs: []string{"create"}},
			{Name: "eviction", Kind: policyv1.SchemeGroupVersion.WithKind("Eviction"), Verbs: []string{"create"}},
			{Name: "exec", Kind: podKind("PodExecOptions"), Verbs: []string{"create", "get"}},
			{Name: "log", Kind: podKind("Pod"), Verbs: []string{"get"}},
			{Name: "portforward", Kind: podKind("PodPortForwardOptions"), Verbs: []string{"create", "get"}},
			{Name: "proxy", Kind: podKind("PodProxyOptions"), Verbs: proxyVerbs},
		},
		Fields:        podFields,
		Indexed:       []string{"spec.nodeName"},
		Columns:       podColumns(),
		Cells:         podCells,
		RowConditions: podRowConditions,
	}.Define()
}

var podKind = corev1.SchemeGroupVersion.WithKind

func podFields(p *corev1.Pod) map[string]string {
	ip := p.Status.PodIP
	if len(p.Status.PodIPs) > 0 {
		ip = p.Status.PodIPs[0].IP
	}
	return map[string]string{
		"spec.nodeName":            p.Spec.NodeName,
		"spec.restartPolicy":       string(p.Spec.RestartPolicy),
		"spec.schedulerName":       p.Spec.SchedulerName,
		"spec.serviceAccountName":  p.Spec.ServiceAccountName,
		"spec.hostNetwork":         strconv.FormatBool(p.Spec.HostNetwork),
		"status.phase":             string(p.Status.Phase),
		"status.podIP":             ip,
		"status.podIPs":            ip,
		"status.nominatedNodeName": p.Status.NominatedNodeName,
	}
}

// DefaultPod completes a pod beyond what [DefaultPodSpec] does for templates.
func DefaultPod(p *corev1.Pod) {
	DefaultPodSpec(&p.Spec)
	if g := p.Spec.TerminationGracePeriodSeconds; *g < 0 {
		// Templates may go on saying so.
		p.Spec.TerminationGracePeriodSeconds = ptr.To[int64](1)
	}
	requestLimits(p.Spec.Containers)
	requestLimits(p.Spec.InitContainers)
	defaultPodResources(p)
	if p.Spec.EnableServiceLinks == nil {
		p.Spec.EnableServiceLinks = ptr.To(true)
	}
	if p.Spec.HostNetwork {
		defaultHostPorts(p.Spec.Containers)
		defaultHostPorts(p.Spec.InitContainers)
	}
	agreeOnIPs(&p.Status)
}

// requestLimits makes a container that is limited ask for as much as its
// limits, where it does not say what it asks for.
func requestLimits(cs []corev1.Container) {
	for i := range cs {
		r := &cs[i].Resources
		for name, q := range r.Limits {
			if _, ok := r.Requests[name]; ok {
				continue
			}
			if r.Requests == nil {
				r.Requests = corev1.ResourceList{}
			}
			r.Requests[name] = q.DeepCopy()
		}
	}
}

// agreeOnIPs keeps podIP the first of podIPs. Where they differ podIP rules,
// since an old client may know only that.
func agreeOnIPs(s *corev1.PodStatus) {
	switch {
	case s.PodIP == "" && len(s.PodIPs) > 0:
		s.PodIP = s.PodIPs[0].IP
	case s.PodIP != "" && (len(s.PodIPs) == 0 || s.PodIPs[0].IP != s.PodIP):
		s.PodIPs = []corev1.PodIP{{IP: s.PodIP}}
	}
}

// podGracePeriod: a pod that no node runs, or that has ended, goes at once.
func podGracePeriod(p *corev1.Pod, opts *metav1.DeleteOptions) int64 {
	if p.Spec.NodeName == "" || isTerminal(p.Status.Phase) {
		return 0
	}
	var period int64
	switch {
	case opts != nil && opts.GracePeriodSeconds != nil:
		period = *opts.GracePeriodSeconds
	case p.Spec.TerminationGracePeriodSeconds != nil:
		period = *p.Spec.TerminationGracePeriodSeconds
	}
	if period < 0 {
		period = 1
	}
	return period
}
