package check_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	"pgregory.net/rapid"

	"proa/resource/check"
)

func TestEqual(t *testing.T) {
	t.Parallel()
	memory := func(s string) *corev1.PodSpec {
		return &corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
			Limits: corev1.ResourceList{"memory": resource.MustParse(s), "cpu": resource.MustParse("1")},
		}}}}
	}
	var none *corev1.PodSpec
	for _, c := range []struct {
		name string
		a, b any
		want bool
	}{
		{"same", memory("1Gi"), memory("1Gi"), true},
		{"quantities of one value", memory("1Gi"), memory("1024Mi"), true},
		{"others", memory("1Gi"), memory("1Mi"), false},
		{"nil and empty", &corev1.PodSpec{Volumes: []corev1.Volume{}}, &corev1.PodSpec{}, true},
		{"nil and zero", none, &corev1.PodSpec{}, false},
		{"two nils", none, none, true},
		{"types", &corev1.PodSpec{}, &corev1.PodStatus{}, false},
		{"values", corev1.PodSpec{NodeName: "a"}, corev1.PodSpec{NodeName: "a"}, true},
		{"parts", []any{memory("1"), map[string]string{"a": "b"}}, []any{memory("1"), map[string]string{"a": "b"}}, true},
		{"other parts", []any{memory("1"), map[string]string{"a": "b"}}, []any{memory("1"), map[string]string{"a": "c"}}, false},
		{"fewer parts", []any{memory("1")}, []any{}, false},
		{"parts and none", []any{}, nil, false},
		{"plain", 1, 1, true},
	} {
		if got := check.Equal(c.a, c.b); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}

// Comparing encodings gives what the slow comparison gives.
func TestEqualTwin(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		words := rapid.SampledFrom([]string{"", "a", "b"})
		spec := func() *corev1.PodSpec {
			s := &corev1.PodSpec{NodeName: words.Draw(r, "node"), NodeSelector: map[string]string{}}
			for range rapid.IntRange(0, 2).Draw(r, "labels") {
				s.NodeSelector[words.Draw(r, "key")] = words.Draw(r, "value")
			}
			for range rapid.IntRange(0, 2).Draw(r, "tolerations") {
				s.Tolerations = append(s.Tolerations, corev1.Toleration{Key: words.Draw(r, "taint")})
			}
			if rapid.Bool().Draw(r, "deadline") {
				s.ActiveDeadlineSeconds = new(int64)
			}
			return s
		}
		a, b := spec(), spec()
		if got, want := check.Equal(a, b), equality.Semantic.DeepEqual(a, b); got != want {
			r.Errorf("%t for %v and %v", got, a, b)
		}
	})
}

func BenchmarkEqual(b *testing.B) {
	spec := func() *corev1.PodSpec {
		return &corev1.PodSpec{Containers: []corev1.Container{{
			Name: "web", Image: "registry.example/web:1.2.3", Args: []string{"--port=8080"},
			Env: []corev1.EnvVar{{Name: "A", Value: "b"}, {Name: "C", Value: "d"}}, Ports: []corev1.ContainerPort{{ContainerPort: 8080}},
			Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{"memory": resource.MustParse("1Gi")}},
		}}, SecurityContext: &corev1.PodSecurityContext{}, Tolerations: []corev1.Toleration{{Key: "a"}, {Key: "b"}}}
	}
	x, y := spec(), spec()
	b.Run("encoding", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			check.Equal(x, y)
		}
	})
	b.Run("reflection", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			equality.Semantic.DeepEqual(x, y)
		}
	})
}
