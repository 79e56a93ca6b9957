package protection

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/controller"
)

// Classes is the controller of volume attributes classes.
func Classes() controller.Definition {
	return controller.Definition{
		Name: "volumeattributesclass-protection-controller", ServiceAccount: "volumeattributesclass-protection-controller", New: newClasses,
	}
}

func newClasses(env controller.Env) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	classes, client := env.Informers.Storage().V1().VolumeAttributesClasses(), env.Client.StorageV1().VolumeAttributesClasses()
	g := &guard[storagev1.VolumeAttributesClass, *storagev1.VolumeAttributesClass]{
		finalizer: "kubernetes.io/vac-protection",
		get:       func(k controller.Key) (*storagev1.VolumeAttributesClass, error) { return classes.Lister().Get(k.Name) },
		update: func(ctx context.Context, c *storagev1.VolumeAttributesClass) error {
			_, err := client.Update(ctx, c, metav1.UpdateOptions{})
			return err
		},
		used: func(ctx context.Context, c *storagev1.VolumeAttributesClass) (bool, error) {
			claims, err := env.Client.CoreV1().PersistentVolumeClaims("").List(ctx, metav1.ListOptions{})
			if err != nil || slices.ContainsFunc(claims.Items, func(o v1.PersistentVolumeClaim) bool { return slices.Contains(classesOfClaim(&o), c.Name) }) {
				return true, err
			}
			volumes, err := env.Client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
			if err != nil {
				return true, err
			}
			return slices.ContainsFunc(volumes.Items, func(o v1.PersistentVolume) bool { return slices.Contains(classesOfVolume(&o), c.Name) }), nil
		},
	}
	g.loop = controller.NewLoop("classprotection", env, 1, g.reconcile)
	if err := controller.Watch(g.loop, classes.Informer(), controller.Self[*storagev1.VolumeAttributesClass]); err != nil {
		return nil, err
	}
	if err := controller.Watch(g.loop, core.PersistentVolumeClaims().Informer(), left(classesOfClaim)); err != nil {
		return nil, err
	}
	return g, controller.Watch(g.loop, core.PersistentVolumes().Informer(), left(classesOfVolume))
}

// left names the classes that an object has ceased to use.
func left[T any](classes func(*T) []string) func(old, obj *T, deleted bool) []controller.Key {
	return func(old, obj *T, deleted bool) []controller.Key {
		var before, now []string
		switch {
		case deleted:
			before = classes(obj)
		case old != nil:
			before, now = classes(old), classes(obj)
		}
		var keys []controller.Key
		for _, name := range before {
			if !slices.Contains(now, name) {
				keys = append(keys, controller.Key{Name: name})
			}
		}
		return keys
	}
}

func classesOfClaim(c *v1.PersistentVolumeClaim) []string {
	var names []string
	for _, n := range []*string{c.Spec.VolumeAttributesClassName, c.Status.CurrentVolumeAttributesClassName} {
		if n != nil && *n != "" {
			names = append(names, *n)
		}
	}
	if m := c.Status.ModifyVolumeStatus; m != nil && m.TargetVolumeAttributesClassName != "" {
		names = append(names, m.TargetVolumeAttributesClassName)
	}
	return names
}

func classesOfVolume(v *v1.PersistentVolume) []string {
	if n := v.Spec.VolumeAttributesClassName; n != nil && *n != "" {
		return []string{*n}
	}
	return nil
}
