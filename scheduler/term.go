package scheduler

import (
	"fmt"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// selection is a set of pods: those of some namespaces that all selectors match.
type selection struct {
	// key is the same for equal selections.
	key       string
	selectors []labels.Selector
	// namespaces by name, and those whose labels byLabels matches, where it is
	// not nil.
	namespaces []string
	byLabels   labels.Selector
	// living leaves out pods that are being deleted.
	living bool
	// also are selections that must have the pod too.
	also []*selection
}

// spaces are the labels of the namespaces that are known.
type spaces map[string]labels.Set

func (s *selection) inNamespace(name string, known spaces) bool {
	if slices.Contains(s.namespaces, name) {
		return true
	}
	return s.byLabels != nil && s.byLabels.Matches(known[name])
}

func (s *selection) matches(pod *v1.Pod, known spaces) bool {
	if s.living && pod.DeletionTimestamp != nil || !s.inNamespace(pod.Namespace, known) {
		return false
	}
	for _, x := range s.selectors {
		if !x.Matches(labels.Set(pod.Labels)) {
			return false
		}
	}
	for _, x := range s.also {
		if !x.matches(pod, known) {
			return false
		}
	}
	return true
}

// byNamespaceLabels tells whether the selection depends on labels of namespaces.
func (s *selection) byNamespaceLabels() bool {
	return s.byLabels != nil || slices.ContainsFunc(s.also, (*selection).byNamespaceLabels)
}

// seal computes the key.
func (s *selection) seal() {
	var b strings.Builder
	for _, x := range s.selectors {
		fmt.Fprintf(&b, "%s\x00", x)
	}
	slices.Sort(s.namespaces)
	fmt.Fprintf(&b, "\x01%s\x01", strings.Join(s.namespaces, "\x00"))
	if s.byLabels != nil {
		fmt.Fprintf(&b, "%q", s.byLabels.String())
	}
	fmt.Fprintf(&b, "\x01%t", s.living)
	for _, x := range s.also {
		fmt.Fprintf(&b, "\x02%s", x.key)
	}
	s.key = b.String()
}

// term is a pod affinity term: pods of a selection, in the domains of a label
// of nodes.
type term struct {
	selection
	topologyKey string
}

// termOf reads a term of a pod in a namespace.
func termOf(namespace string, t *v1.PodAffinityTerm) (term, error) {
	selector, err := metav1.LabelSelectorAsSelector(t.LabelSelector)
	if err != nil {
		return term{}, err
	}
	out := term{topologyKey: t.TopologyKey, selection: selection{
		selectors: []labels.Selector{selector}, namespaces: slices.Clone(t.Namespaces),
	}}
	if t.NamespaceSelector != nil {
		if out.byLabels, err = metav1.LabelSelectorAsSelector(t.NamespaceSelector); err != nil {
			return term{}, err
		}
	} else if len(t.Namespaces) == 0 {
		out.namespaces = []string{namespace}
	}
	out.seal()
	return out, nil
}

func termsOf(namespace string, list []v1.PodAffinityTerm) ([]term, error) {
	var out []term
	for i := range list {
		t, err := termOf(namespace, &list[i])
		if err != nil {
			return nil, err
		}
		out = append(out, t)
	}
	return out, nil
}

// weighted is a term that is preferred, or with a negative weight avoided.
type weighted struct {
	term
	weight int64
}

func weightedOf(namespace string, list []v1.WeightedPodAffinityTerm, sign int64) ([]weighted, error) {
	var out []weighted
	for i := range list {
		t, err := termOf(namespace, &list[i].PodAffinityTerm)
		if err != nil {
			return nil, err
		}
		out = append(out, weighted{t, sign * int64(list[i].Weight)})
	}
	return out, nil
}

// affinities are all terms of a pod about other pods.
type affinities struct {
	required, forbidden []term
	preferred           []weighted
}

// affinitiesOf fails on terms that validation should have refused.
func affinitiesOf(pod *v1.Pod) (a affinities, err error) {
	if pod.Spec.Affinity == nil {
		return a, nil
	}
	var wanted, unwanted []weighted
	if p := pod.Spec.Affinity.PodAffinity; p != nil {
		if a.required, err = termsOf(pod.Namespace, p.RequiredDuringSchedulingIgnoredDuringExecution); err == nil {
			wanted, err = weightedOf(pod.Namespace, p.PreferredDuringSchedulingIgnoredDuringExecution, 1)
		}
	}
	if p := pod.Spec.Affinity.PodAntiAffinity; p != nil && err == nil {
		if a.forbidden, err = termsOf(pod.Namespace, p.RequiredDuringSchedulingIgnoredDuringExecution); err == nil {
			unwanted, err = weightedOf(pod.Namespace, p.PreferredDuringSchedulingIgnoredDuringExecution, -1)
		}
	}
	if err != nil {
		return affinities{}, fmt.Errorf("affinity of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	a.preferred = append(wanted, unwanted...)
	return a, nil
}

// hasAffinities tells whether a pod says anything about other pods.
func hasAffinities(pod *v1.Pod) bool {
	a := pod.Spec.Affinity
	return a != nil && (a.PodAffinity != nil || a.PodAntiAffinity != nil)
}
