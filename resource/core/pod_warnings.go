package core

import (
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// deprecatedNodeLabels are names that labels of nodes had, and what became of
// them.
var deprecatedNodeLabels = map[string]string{
	corev1.LabelFailureDomainBetaZone:   `deprecated since v1.17; use "topology.kubernetes.io/zone" instead`,
	corev1.LabelFailureDomainBetaRegion: `deprecated since v1.17; use "topology.kubernetes.io/region" instead`,
	corev1.LabelInstanceType:            `deprecated since v1.17; use "node.kubernetes.io/instance-type" instead`,
	"beta.kubernetes.io/arch":           `deprecated since v1.14; use "kubernetes.io/arch" instead`,
	"beta.kubernetes.io/os":             `deprecated since v1.14; use "kubernetes.io/os" instead`,
}

// DeprecatedNodeLabel says what became of a label of nodes, or nothing where it
// is as good as ever.
func DeprecatedNodeLabel(key string) string { return deprecatedNodeLabels[key] }

// podWarnings also looks at what only pods have: a name that becomes a host
// name. An update warns only of what it brings.
func podWarnings(p, old *corev1.Pod) []string {
	var w []string
	var was *corev1.PodSpec
	if old != nil {
		was = &old.Spec
	} else if m := validation.IsDNS1123Label(p.Name); p.Name != "" && len(m) != 0 {
		w = append(w, fmt.Sprintf("metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: %v", m))
	}
	// A change of nothing but metadata or status needs no second warning.
	if was != nil && reflect.DeepEqual(was, &p.Spec) {
		return nil
	}
	return append(w, podSpecWarnings(nil, &p.Spec, p.Annotations)...)
}

// PodTemplateWarnings says what a client should know of a pod template that is
// created (old is nil) or changed. The path is that of the template.
func PodTemplateWarnings(t, old *corev1.PodTemplateSpec, at *field.Path) []string {
	if old != nil && reflect.DeepEqual(t, old) {
		return nil
	}
	return podSpecWarnings(at, &t.Spec, t.Annotations)
}

// podSpecWarnings: at is the path of what contains the spec, nil for a pod.
func podSpecWarnings(at *field.Path, s *corev1.PodSpec, annotations map[string]string) []string {
	w := &warner{}
	spec := at.Child("spec")
	w.nodeSelection(s, spec)
	w.annotations(s, annotations, at.Child("metadata", "annotations"))
	for i := range s.Volumes {
		w.volume(&s.Volumes[i], spec.Child("volumes").Index(i))
	}
	seen := map[string]bool{}
	for i, h := range s.HostAliases {
		if seen[h.IP] {
			w.add(spec.Child("hostAliases").Index(i).Child("ip"), "duplicate ip %q", h.IP)
		}
		seen[h.IP] = true
	}
	seen = map[string]bool{}
	for i, r := range s.ImagePullSecrets {
		at := spec.Child("imagePullSecrets").Index(i).Child("name")
		if r.Name == "" {
			w.add(at, "invalid empty name %q", r.Name)
		} else if seen[r.Name] {
			w.add(at, "duplicate name %q", r.Name)
		}
		seen[r.Name] = true
	}
	if g := s.TerminationGracePeriodSeconds; g != nil && *g < 0 {
		w.add(spec.Child("terminationGracePeriodSeconds"), "must be >= 0; negative values are invalid and will be treated as 1")
	}
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		w.fraction(s.Overhead, name, spec.Child("overhead"))
	}
	eachContainerAt(s, spec, w.container)
	return w.list
}

type warner struct{ list []string }

func (w *warner) add(at *field.Path, format string, args ...any) {
	w.list = append(w.list, at.String()+": "+fmt.Sprintf(format, args...))
}

func (w *warner) nodeSelection(s *corev1.PodSpec, at *field.Path) {
	for _, k := range sortedKeys(s.NodeSelector) {
		if m, ok := deprecatedNodeLabels[k]; ok {
			w.add(at.Child("nodeSelector").Key(k), "%s", m)
		}
	}
	term := func(t *corev1.NodeSelectorTerm, at *field.Path) {
		for i, e := range t.MatchExpressions {
			if m, ok := deprecatedNodeLabels[e.Key]; ok {
				w.add(at.Child("matchExpressions").Index(i).Child("key"), "%s is %s", e.Key, m)
			}
		}
	}
	if a := s.Affinity; a != nil && a.NodeAffinity != nil {
		at := at.Child("affinity", "nodeAffinity")
		if r := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution; r != nil {
			for i := range r.NodeSelectorTerms {
				term(&r.NodeSelectorTerms[i], at.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms").Index(i))
			}
		}
		for i := range a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution {
			term(&a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution[i].Preference, at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("preference"))
		}
	}
	const unselective = "a null labelSelector results in matching no pod"
	if a := s.Affinity; a != nil {
		terms := func(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, at *field.Path) {
			for i := range required {
				if required[i].LabelSelector == nil {
					w.add(at.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i).Child("labelSelector"), unselective)
				}
			}
			for i := range preferred {
				if preferred[i].PodAffinityTerm.LabelSelector == nil {
					w.add(at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("podAffinityTerm", "labelSelector"), unselective)
				}
			}
		}
		if p := a.PodAffinity; p != nil {
			terms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, at.Child("affinity", "podAffinity"))
		}
		if p := a.PodAntiAffinity; p != nil {
			terms(p.RequiredDuringSchedulingIgnoredDuringExecution, p.PreferredDuringSchedulingIgnoredDuringExecution, at.Child("affinity", "podAntiAffinity"))
		}
	}
	for i := range s.TopologySpreadConstraints {
		c, at := &s.TopologySpreadConstraints[i], at.Child("topologySpreadConstraints").Index(i)
		if m, ok := deprecatedNodeLabels[c.TopologyKey]; ok {
			w.add(at.Child("topologyKey"), "%s is %s", c.TopologyKey, m)
		}
		if c.LabelSelector == nil {
			w.add(at.Child("labelSelector"), unselective)
		}
	}
}

func (w *warner) annotations(s *corev1.PodSpec, annotations map[string]string, at *field.Path) {
	const seccomp = `non-functional in v1.27+; use the "seccompProfile" field instead`
	if _, ok := annotations[seccompPodLegacy]; ok {
		w.add(at.Key(seccompPodLegacy), seccomp)
	}
	eachContainer(s, func(c *corev1.Container) {
		if _, ok := annotations[seccompContainerPre+c.Name]; ok {
			w.add(at.Key(seccompContainerPre+c.Name), seccomp)
		}
		if _, ok := annotations[appArmorContainerPre+c.Name]; ok && containerAppArmor(s, c) == nil {
			w.add(at.Key(appArmorContainerPre+c.Name), `deprecated since v1.30; use the "appArmorProfile" field instead`)
		}
	})
	for _, k := range []struct{ key, message string }{
		{"security.alpha.kubernetes.io/sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
		{"security.alpha.kubernetes.io/unsafe-sysctls", `non-functional in v1.11+; use the "sysctls" field instead`},
		{"scheduler.alpha.kubernetes.io/critical-pod", `non-functional in v1.16+; use the "priorityClassName" field instead`},
	} {
		if _, ok := annotations[k.key]; ok {
			w.add(at.Key(k.key), "%s", k.message)
		}
	}
}

func (w *warner) volume(v *corev1.Volume, at *field.Path) {
	for _, s := range []struct {
		set           bool
		name, message string
	}{
		{v.PhotonPersistentDisk != nil, "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"},
		{v.GitRepo != nil, "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
		{v.ScaleIO != nil, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
		{v.Flocker != nil, "flocker", "deprecated in v1.22, non-functional in v1.25+"},
		{v.StorageOS != nil, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
		{v.Quobyte != nil, "quobyte", "deprecated in v1.22, non-functional in v1.25+"},
		{v.Glusterfs != nil, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
		{v.CephFS != nil, "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
		{v.RBD != nil, "rbd", "deprecated in v1.28, non-functional in v1.31+"},
	} {
		if s.set {
			w.add(at.Child(s.name), "%s", s.message)
		}
	}
	if v.Ephemeral != nil && v.Ephemeral.VolumeClaimTemplate != nil {
		t := v.Ephemeral.VolumeClaimTemplate
		w.claim(t.Annotations, &t.Spec, at.Child("ephemeral", "volumeClaimTemplate"))
	}
}

func (w *warner) claim(annotations map[string]string, s *corev1.PersistentVolumeClaimSpec, at *field.Path) {
	if _, ok := annotations[corev1.BetaStorageClassAnnotation]; ok {
		w.add(at.Child("metadata", "annotations").Key(corev1.BetaStorageClassAnnotation), `deprecated since v1.8; use "storageClassName" attribute instead`)
	}
	w.fraction(s.Resources.Requests, corev1.ResourceStorage, at.Child("spec", "resources", "requests"))
}

// fraction warns of an amount of bytes that is no whole number.
func (w *warner) fraction(l corev1.ResourceList, name corev1.ResourceName, at *field.Path) {
	if q, ok := l[name]; ok && q.MilliValue()%1000 != 0 {
		w.add(at.Key(string(name)), "fractional byte value %q is invalid, must be an integer", q.String())
	}
}

func (w *warner) container(c *corev1.Container, at *field.Path) {
	for _, name := range []corev1.ResourceName{corev1.ResourceMemory, corev1.ResourceEphemeralStorage} {
		w.fraction(c.Resources.Requests, name, at.Child("resources", "requests"))
		w.fraction(c.Resources.Limits, name, at.Child("resources", "limits"))
	}
	// A name twice in a list that is merged by name loses one of the two; with
	// a reference to itself it may be meant.
	env := map[string]bool{}
	for i, e := range c.Env {
		if env[e.Name] && !strings.Contains(e.Value, "$("+e.Name+")") {
			w.add(at.Child("env").Index(i), "hides previous definition of %q, which may be dropped when using apply", e.Name)
		}
		env[e.Name] = true
	}
	ports := map[string]int{}
	for i, p := range c.Ports {
		key := fmt.Sprintf("%d/%s/%d/%s", p.ContainerPort, p.Protocol, p.HostPort, p.HostIP)
		if j, ok := ports[key]; ok {
			w.add(at.Child("ports").Index(i), "duplicate port definition with %s", at.Child("ports").Index(j))
		} else {
			ports[key] = i
		}
	}
}
