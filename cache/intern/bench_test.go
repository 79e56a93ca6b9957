package intern

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func benchPod() *corev1.Pod {
	n := int64(30)
	c := corev1.Container{
		Name: "web", Image: "registry.example.com/team/web:v1", Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
		Env:           []corev1.EnvVar{{Name: "A", Value: "1"}, {Name: "B", Value: "2"}},
		Resources:     corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")}},
		VolumeMounts:  []corev1.VolumeMount{{Name: "token", MountPath: "/var/run/secrets"}},
		LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz"}}},
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-1", Namespace: "ns", Labels: map[string]string{"app": "web", "hash": "7c5ddbdf54"},
			OwnerReferences: []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "web"}},
			ManagedFields:   []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: &metav1.FieldsV1{Raw: make([]byte, 1500)}}},
		},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{c}, TerminationGracePeriodSeconds: &n,
			Tolerations: []corev1.Toleration{{Key: "a", TolerationSeconds: &n}, {Key: "b", TolerationSeconds: &n}},
		},
		Status: corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: "Ready"}, {Type: "Initialized"}}},
	}
}

// BenchmarkFresh interns pods as they come from decoding; BenchmarkShared
// those whose parts are canonical already, as after an update of the status.
func BenchmarkFresh(b *testing.B) {
	pool := New(16384)
	pods := make([]*corev1.Pod, 512)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if i%len(pods) == 0 {
			b.StopTimer()
			for j := range pods {
				pods[j] = benchPod()
			}
			b.StartTimer()
		}
		pool.Object(pods[i%len(pods)])
	}
}

func BenchmarkShared(b *testing.B) {
	pool := New(16384)
	p := benchPod()
	pool.Object(p)
	b.ReportAllocs()
	for b.Loop() {
		c := *p
		pool.Object(&c)
	}
}
