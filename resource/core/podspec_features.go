package core

import corev1 "k8s.io/api/core/v1"

// DropDisabledPodFields clears the fields of features that are off by default
// in this release, unless old, the spec that is stored (nil at creation), uses
// them already.
func DropDisabledPodFields(s, old *corev1.PodSpec) {
	if s.SchedulingGroup != nil && (old == nil || old.SchedulingGroup == nil) {
		s.SchedulingGroup = nil
	}
	if !usesStopSignal(old) {
		eachContainer(s, func(c *corev1.Container) {
			if c.Lifecycle == nil || c.Lifecycle.StopSignal == nil {
				return
			}
			if c.Lifecycle.StopSignal = nil; *c.Lifecycle == (corev1.Lifecycle{}) {
				c.Lifecycle = nil
			}
		})
	}
	bundles, certs := usesProjection(old)
	for i := range s.Volumes {
		if s.Volumes[i].Projected == nil {
			continue
		}
		for j := range s.Volumes[i].Projected.Sources {
			p := &s.Volumes[i].Projected.Sources[j]
			if !bundles {
				p.ClusterTrustBundle = nil
			}
			if !certs {
				p.PodCertificate = nil
			}
		}
	}
}

// DropDisabledTemplateFields is [DropDisabledPodFields] for the template of a
// workload; old may be nil.
func DropDisabledTemplateFields(t, old *corev1.PodTemplateSpec) {
	if old == nil {
		DropDisabledPodFields(&t.Spec, nil)
		return
	}
	DropDisabledPodFields(&t.Spec, &old.Spec)
}

func usesStopSignal(s *corev1.PodSpec) bool {
	used := false
	eachContainer(s, func(c *corev1.Container) {
		used = used || c.Lifecycle != nil && c.Lifecycle.StopSignal != nil
	})
	return used
}

func usesProjection(s *corev1.PodSpec) (bundles, certs bool) {
	if s == nil {
		return false, false
	}
	for i := range s.Volumes {
		if s.Volumes[i].Projected == nil {
			continue
		}
		for _, p := range s.Volumes[i].Projected.Sources {
			bundles = bundles || p.ClusterTrustBundle != nil
			certs = certs || p.PodCertificate != nil
		}
	}
	return bundles, certs
}

// eachContainer visits the containers of every sort, in the order in which
// they start. A nil spec has none.
func eachContainer(s *corev1.PodSpec, f func(c *corev1.Container)) {
	if s == nil {
		return
	}
	for i := range s.InitContainers {
		f(&s.InitContainers[i])
	}
	for i := range s.Containers {
		f(&s.Containers[i])
	}
	for i := range s.EphemeralContainers {
		f((*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon))
	}
}
