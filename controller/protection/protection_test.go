package protection

import (
	"slices"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(time.Unix(1, 0))
	for name, c := range map[string]struct {
		has      []string
		deleting *metav1.Time
		used     bool
		want     []string
		change   bool
	}{
		"born without":       {has: []string{"other"}, want: []string{"other", "f"}, change: true},
		"alive":              {has: []string{"f"}, used: true},
		"deleted, in use":    {has: []string{"f"}, deleting: &now, used: true},
		"deleted, unused":    {has: []string{"f", "other"}, deleting: &now, want: []string{"other"}, change: true},
		"deleted, let go of": {has: []string{"other"}, deleting: &now},
	} {
		got, change := decide(&metav1.ObjectMeta{Finalizers: c.has, DeletionTimestamp: c.deleting}, "f", c.used)
		if change != c.change || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, %v", name, got, change)
		}
	}
}

func TestUsesClaim(t *testing.T) {
	t.Parallel()
	named := []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "p-v"}}}}
	own := []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{Ephemeral: &v1.EphemeralVolumeSource{}}}}
	claim := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "p-v", OwnerReferences: []metav1.OwnerReference{{UID: "1", Controller: ptr.To(true)}}}}
	for name, c := range map[string]struct {
		volumes []v1.Volume
		node    string
		uid     types.UID
		phase   v1.PodPhase
		want    bool
	}{
		"named":                 {volumes: named, node: "n", want: true},
		"named by a finished":   {volumes: named, node: "n", phase: v1.PodSucceeded, want: true},
		"named, without a node": {volumes: named},
		"its own":               {volumes: own, node: "n", uid: "1", want: true},
		"its own, finished":     {volumes: own, node: "n", uid: "1", phase: v1.PodFailed},
		"another's of the name": {volumes: own, node: "n", uid: "2"},
		"none":                  {node: "n"},
	} {
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: c.uid}, Spec: v1.PodSpec{NodeName: c.node, Volumes: c.volumes}, Status: v1.PodStatus{Phase: c.phase}}
		if got := usesClaim(p, claim); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What is deleted stays as long as it is used, and goes then.
func TestControllers(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	controllertest.Run(t, env, clock.RealClock{}, Claims(), Volumes(), Classes())
	core, ctx := env.Admin.CoreV1(), t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	size := v1.ResourceList{v1.ResourceStorage: resource.MustParse("1Gi")}
	must(env.Admin.StorageV1().VolumeAttributesClasses().Create(ctx, &storagev1.VolumeAttributesClass{
		ObjectMeta: metav1.ObjectMeta{Name: "fast"}, DriverName: "example.org", Parameters: map[string]string{"a": "b"},
	}, metav1.CreateOptions{}))
	must(core.PersistentVolumeClaims("default").Create(ctx, &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "c"},
		Spec: v1.PersistentVolumeClaimSpec{
			AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}, Resources: v1.VolumeResourceRequirements{Requests: size},
			VolumeAttributesClassName: ptr.To("fast"), StorageClassName: ptr.To(""),
		},
	}, metav1.CreateOptions{}))
	must(core.PersistentVolumes().Create(ctx, &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: "v"},
		Spec: v1.PersistentVolumeSpec{
			Capacity: size, AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce},
			PersistentVolumeSource: v1.PersistentVolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/tmp"}},
		},
	}, metav1.CreateOptions{}))
	must(core.Nodes().Create(ctx, &v1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, metav1.CreateOptions{}))
	must(core.Pods("default").Create(ctx, &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: v1.PodSpec{
		NodeName: "n", Containers: []v1.Container{{Name: "c", Image: "i"}},
		Volumes: []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "c"}}}},
	}}, metav1.CreateOptions{}))
	v, err := core.PersistentVolumes().Get(ctx, "v", metav1.GetOptions{})
	must(v, err)
	v.Status.Phase = v1.VolumeBound
	must(core.PersistentVolumes().UpdateStatus(ctx, v, metav1.UpdateOptions{}))

	// Without the admission plugin they get their finalizers here.
	controllertest.Until(t, func() string {
		c, err := core.PersistentVolumeClaims("default").Get(ctx, "c", metav1.GetOptions{})
		must(c, err)
		v, err := core.PersistentVolumes().Get(ctx, "v", metav1.GetOptions{})
		must(v, err)
		a, err := env.Admin.StorageV1().VolumeAttributesClasses().Get(ctx, "fast", metav1.GetOptions{})
		must(a, err)
		if len(c.Finalizers) == 0 || len(v.Finalizers) == 0 || len(a.Finalizers) == 0 {
			return "no finalizers"
		}
		return ""
	})
	must(nil, core.PersistentVolumeClaims("default").Delete(ctx, "c", metav1.DeleteOptions{}))
	must(nil, core.PersistentVolumes().Delete(ctx, "v", metav1.DeleteOptions{}))
	must(nil, env.Admin.StorageV1().VolumeAttributesClasses().Delete(ctx, "fast", metav1.DeleteOptions{}))
	claim := func() error {
		_, err := core.PersistentVolumeClaims("default").Get(ctx, "c", metav1.GetOptions{})
		return err
	}
	volume := func() error { _, err := core.PersistentVolumes().Get(ctx, "v", metav1.GetOptions{}); return err }
	class := func() error {
		_, err := env.Admin.StorageV1().VolumeAttributesClasses().Get(ctx, "fast", metav1.GetOptions{})
		return err
	}
	gone := func(get func() error) {
		t.Helper()
		controllertest.Until(t, func() string {
			if err := get(); !apierrors.IsNotFound(err) {
				return "it is still there"
			}
			return ""
		})
	}
	// An unused claim that was deleted after the others goes, and they are there:
	// the controllers have seen them.
	must(core.PersistentVolumeClaims("default").Create(ctx, &v1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Name: "unused"},
		Spec:       v1.PersistentVolumeClaimSpec{AccessModes: []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}, Resources: v1.VolumeResourceRequirements{Requests: size}},
	}, metav1.CreateOptions{}))
	must(nil, core.PersistentVolumeClaims("default").Delete(ctx, "unused", metav1.DeleteOptions{}))
	gone(func() error {
		_, err := core.PersistentVolumeClaims("default").Get(ctx, "unused", metav1.GetOptions{})
		return err
	})
	for name, get := range map[string]func() error{"claim": claim, "volume": volume, "class": class} {
		if err := get(); err != nil {
			t.Errorf("the %s went while it was used: %v", name, err)
		}
	}
	must(nil, core.Pods("default").Delete(ctx, "p", metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(0))}))
	gone(claim)
	gone(class)
	if err := volume(); err != nil {
		t.Error(err)
	}
	v, err = core.PersistentVolumes().Get(ctx, "v", metav1.GetOptions{})
	must(v, err)
	v.Status.Phase = v1.VolumeReleased
	must(core.PersistentVolumes().UpdateStatus(ctx, v, metav1.UpdateOptions{}))
	gone(volume)
}
