package limitranger

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource"
	"proa/resource/core"
)

func list(pairs ...string) corev1.ResourceList {
	l := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		l[corev1.ResourceName(pairs[i])] = quantity.MustParse(pairs[i+1])
	}
	return l
}

func pod(requests, limits corev1.ResourceList) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "c", Resources: corev1.ResourceRequirements{Requests: requests, Limits: limits}},
	}}}
}

func world(items ...corev1.LimitRangeItem) admissiontest.World {
	return admissiontest.World{&corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: items}}}
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	w := world(corev1.LimitRangeItem{Type: corev1.LimitTypeContainer, DefaultRequest: list("cpu", "100m", "memory", "10Mi"), Default: list("cpu", "1")})
	p := pod(list("cpu", "50m"), nil)
	p.Spec.InitContainers = []corev1.Container{{Name: "i"}}
	if _, err := admissiontest.Run(t.Context(), New(w), &admission.Attributes{Operation: admission.Create, Definition: core.Pod(), Namespace: "n", Object: p}); err != nil {
		t.Fatal(err)
	}
	want := "LimitRanger plugin set: memory request for container c; cpu limit for container c; cpu, memory request for init container i; cpu limit for init container i"
	if got := p.Annotations[annotation]; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c := p.Spec.Containers[0].Resources
	if c.Requests.Cpu().String() != "50m" || c.Requests.Memory().String() != "10Mi" || c.Limits.Cpu().String() != "1" {
		t.Errorf("got %v", c)
	}
}

func TestChecks(t *testing.T) {
	t.Parallel()
	container := func(f func(*corev1.LimitRangeItem)) admissiontest.World {
		i := corev1.LimitRangeItem{Type: corev1.LimitTypeContainer}
		f(&i)
		return world(i)
	}
	min := container(func(i *corev1.LimitRangeItem) { i.Min = list("cpu", "100m") })
	max := container(func(i *corev1.LimitRangeItem) { i.Max = list("memory", "1Gi") })
	ratio := container(func(i *corev1.LimitRangeItem) { i.MaxLimitRequestRatio = list("cpu", "1.5") })
	whole := world(corev1.LimitRangeItem{Type: corev1.LimitTypePod, Max: list("cpu", "1")})
	claims := world(corev1.LimitRangeItem{Type: corev1.LimitTypePersistentVolumeClaim, Min: list("storage", "1Gi"), Max: list("storage", "2Gi")})
	claim := func(size string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PersistentVolumeClaimSpec{Resources: corev1.VolumeResourceRequirements{Requests: list("storage", size)}}}
	}
	two := pod(nil, list("cpu", "600m"))
	two.Spec.Containers = append(two.Spec.Containers, two.Spec.Containers[0])
	tests := map[string]struct {
		w    admissiontest.World
		obj  runtime.Object
		want string
	}{
		"enough":         {min, pod(list("cpu", "100m"), nil), ""},
		"too little":     {min, pod(list("cpu", "99m"), nil), "minimum cpu usage per Container is 100m, but request is 99m"},
		"no request":     {min, pod(nil, nil), "minimum cpu usage per Container is 100m.  No request is specified"},
		"limit too low":  {min, pod(list("cpu", "1"), list("cpu", "50m")), "minimum cpu usage per Container is 100m, but limit is 50m"},
		"no limit":       {max, pod(nil, nil), "maximum memory usage per Container is 1Gi.  No limit is specified"},
		"limit too high": {max, pod(nil, list("memory", "2Gi")), "maximum memory usage per Container is 1Gi, but limit is 2Gi"},
		"request high":   {max, pod(list("memory", "2Gi"), list("memory", "1Gi")), "maximum memory usage per Container is 1Gi, but request is 2Gi"},
		"ratio":          {ratio, pod(list("cpu", "1"), list("cpu", "1500m")), ""},
		"ratio too high": {ratio, pod(list("cpu", "1"), list("cpu", "2")), "cpu max limit to request ratio per Container is 1500m, but provided ratio is 2.000000"},
		"ratio of none":  {ratio, pod(nil, list("cpu", "2")), "cpu max limit to request ratio per Container is 1500m, but no request is specified or request is 0"},
		"sum":            {whole, two, "maximum cpu usage per Pod is 1, but limit is 1200m"},
		"claim":          {claims, claim("1Gi"), ""},
		"small claim":    {claims, claim("1Mi"), "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"},
		"large claim":    {claims, claim("3Gi"), "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			def, kind := core.Pod(), "pods"
			if _, ok := test.obj.(*corev1.PersistentVolumeClaim); ok {
				def, kind = &resource.Definition{Storage: corev1.SchemeGroupVersion, Plural: "persistentvolumeclaims"}, "persistentvolumeclaims"
			}
			_, err := admissiontest.Run(t.Context(), New(test.w), &admission.Attributes{Operation: admission.Create, Definition: def, Namespace: "n", Name: "p", Object: test.obj})
			if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != kind+` "p" is forbidden: `+test.want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}
