package namespace

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// remains is what one sweep over a namespace found.
type remains struct {
	// discovery is the error of finding out which kinds there are.
	discovery error
	// failed is the first error of deleting.
	failed error
	// objects left by resource, and by finalizer.
	objects    map[schema.GroupVersionResource]int
	finalizers map[string]int
	// soon is the longest grace period of what is being deleted.
	soon time.Duration
}

// empty reports that the namespace can go.
func (r *remains) empty() bool {
	return r.discovery == nil && r.failed == nil && len(r.objects) == 0
}

// wait is how long to wait for the next sweep: nothing tells when objects of
// every kind are gone, so the wait follows what pods need to end.
func (r *remains) wait() time.Duration {
	return min(max(r.soon/2, time.Second), 15*time.Second)
}

// conditions tells what stands in the way.
func (r *remains) conditions(was []v1.NamespaceCondition, now metav1.Time) []v1.NamespaceCondition {
	tell := []v1.NamespaceCondition{
		state(v1.NamespaceDeletionDiscoveryFailure, r.discovery != nil, "DiscoveryFailed", "ResourcesDiscovered", "All resources successfully discovered", func() string {
			return "Discovery failed for some groups: " + r.discovery.Error()
		}),
		state(v1.NamespaceDeletionGVParsingFailure, false, "", "ParsedGroupVersions", "All legacy kube types successfully parsed", nil),
		state(v1.NamespaceDeletionContentFailure, r.failed != nil, "ContentDeletionFailed", "ContentDeleted", "All content successfully deleted, may be waiting on finalization", func() string {
			return "Failed to delete all resource types: " + r.failed.Error()
		}),
		state(v1.NamespaceContentRemaining, len(r.objects) > 0, "SomeResourcesRemain", "ContentRemoved", "All content successfully removed", func() string {
			return "Some resources are remaining: " + counted(r.objects, func(k schema.GroupVersionResource, n int) string {
				return fmt.Sprintf("%s has %d resource instances", k.GroupResource(), n)
			})
		}),
		state(v1.NamespaceFinalizersRemaining, len(r.finalizers) > 0, "SomeFinalizersRemain", "ContentHasNoFinalizers", "All content-preserving finalizers finished", func() string {
			return "Some content in the namespace has finalizers remaining: " + counted(r.finalizers, func(k string, n int) string {
				return fmt.Sprintf("%s in %d resource instances", k, n)
			})
		}),
	}
	out := slices.Clone(was)
	for _, c := range tell {
		c.LastTransitionTime = now
		i := slices.IndexFunc(out, func(o v1.NamespaceCondition) bool { return o.Type == c.Type })
		switch {
		case i < 0:
			out = append(out, c)
		case out[i].Status == c.Status && out[i].Message == c.Message && out[i].Reason == c.Reason:
		default:
			out[i] = c
		}
	}
	return out
}

func state(t v1.NamespaceConditionType, bad bool, badReason, reason, message string, why func() string) v1.NamespaceCondition {
	if bad {
		return v1.NamespaceCondition{Type: t, Status: v1.ConditionTrue, Reason: badReason, Message: why()}
	}
	return v1.NamespaceCondition{Type: t, Status: v1.ConditionFalse, Reason: reason, Message: message}
}

func counted[K comparable](m map[K]int, say func(K, int) string) string {
	out := make([]string, 0, len(m))
	for k, n := range m {
		out = append(out, say(k, n))
	}
	slices.SortFunc(out, cmp.Compare[string])
	return strings.Join(out, ", ")
}
