package deployment

import (
	"fmt"
	"hash/fnv"
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/rand"
)

// Annotations by which deployments and kubectl speak of revisions.
const (
	revisionAnnotation        = "deployment.kubernetes.io/revision"
	revisionHistoryAnnotation = "deployment.kubernetes.io/revision-history"
	desiredAnnotation         = "deployment.kubernetes.io/desired-replicas"
	maxAnnotation             = "deployment.kubernetes.io/max-replicas"
	lastAppliedAnnotation     = "kubectl.kubernetes.io/last-applied-configuration"
	deprecatedRollback        = "deprecated.deployment.rollback.to"
)

const hashLabel = appsv1.DefaultDeploymentUniqueLabelKey

// sameTemplate compares templates apart from the hash label that only those of
// replica sets carry.
func sameTemplate(a, b *v1.PodTemplateSpec) bool {
	x, y := *a, *b
	x.Labels, y.Labels = withoutHash(a.Labels), withoutHash(b.Labels)
	return equality.Semantic.DeepEqual(&x, &y)
}

func withoutHash(labels map[string]string) map[string]string {
	if _, ok := labels[hashLabel]; !ok {
		return labels
	}
	out := maps.Clone(labels)
	delete(out, hashLabel)
	return out
}

// templateHash names a template. Equal templates have equal hashes for ever,
// since protobuf encodes a message in one way only; the collision count makes
// another name where two different templates hash alike.
func templateHash(t *v1.PodTemplateSpec, collisions *int32) (string, error) {
	b, err := t.Marshal()
	if err != nil {
		return "", fmt.Errorf("hash a pod template: %w", err)
	}
	h := fnv.New32a()
	_, _ = h.Write(b)
	if collisions != nil {
		_, _ = h.Write([]byte(strconv.Itoa(int(*collisions))))
	}
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32())), nil
}

func revisionOf(annotations map[string]string) int64 {
	n, err := strconv.ParseInt(annotations[revisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// inherited returns a deployment's annotations that its replica sets get too.
func inherited(d *appsv1.Deployment) map[string]string {
	out := map[string]string{}
	for k, v := range d.Annotations {
		switch k {
		case lastAppliedAnnotation, revisionAnnotation, revisionHistoryAnnotation, desiredAnnotation, maxAnnotation, deprecatedRollback:
		default:
			out[k] = v
		}
	}
	return out
}
