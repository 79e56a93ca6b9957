package protection

import (
	"context"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/controller"
)

// Volumes is the controller of persistent volumes.
func Volumes() controller.Definition {
	return controller.Definition{
		Name: "persistentvolume-protection-controller", ServiceAccount: "pv-protection-controller", New: newVolumes,
	}
}

func newVolumes(env controller.Env) (controller.Controller, error) {
	volumes, client := env.Informers.Core().V1().PersistentVolumes(), env.Client.CoreV1().PersistentVolumes()
	g := &guard[v1.PersistentVolume, *v1.PersistentVolume]{
		finalizer: "kubernetes.io/pv-protection",
		get:       func(k controller.Key) (*v1.PersistentVolume, error) { return volumes.Lister().Get(k.Name) },
		// The update fails where the volume has been bound meanwhile.
		used: func(_ context.Context, v *v1.PersistentVolume) (bool, error) {
			return v.Status.Phase == v1.VolumeBound, nil
		},
		update: func(ctx context.Context, v *v1.PersistentVolume) error {
			_, err := client.Update(ctx, v, metav1.UpdateOptions{})
			return err
		},
	}
	g.loop = controller.NewLoop("volumeprotection", env, 2, g.reconcile)
	return g, controller.Watch(g.loop, volumes.Informer(), controller.Self[*v1.PersistentVolume])
}
