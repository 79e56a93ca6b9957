package columns

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestTimes(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{Since(metav1.Time{}, now), Unknown},
		{Since(metav1.NewTime(now.Add(-90*time.Second)), now), "90s"},
		{Since(metav1.NewTime(now.Add(-123*time.Hour)), now), "5d3h"},
		{Since(metav1.NewTime(now.Add(time.Hour)), now), "<invalid>"},
		{SinceMicro(metav1.NewMicroTime(now.Add(-time.Minute)), now), "60s"},
		{Until(metav1.Time{}, now), Unknown},
		{Until(metav1.NewTime(now.Add(3*time.Minute)), now), "3m"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestContainers(t *testing.T) {
	t.Parallel()
	names, images := Containers([]corev1.Container{{Name: "a", Image: "x:1"}, {Name: "b", Image: "y"}})
	if names != "a,b" || images != "x:1,y" {
		t.Errorf("got %q and %q", names, images)
	}
	if l := Labels(nil); l != None {
		t.Errorf("no labels are written as %q", l)
	}
}
