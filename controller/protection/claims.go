package protection

import (
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"proa/controller"
	"proa/controller/podstate"
)

// Claims is the controller of persistent volume claims.
func Claims() controller.Definition {
	return controller.Definition{
		Name: "persistentvolumeclaim-protection-controller", ServiceAccount: "pvc-protection-controller", New: newClaims,
	}
}

func newClaims(env controller.Env) (controller.Controller, error) {
	core := env.Informers.Core().V1()
	claims, pods := core.PersistentVolumeClaims(), core.Pods()
	g := &guard[v1.PersistentVolumeClaim, *v1.PersistentVolumeClaim]{
		finalizer: "kubernetes.io/pvc-protection",
		get: func(k controller.Key) (*v1.PersistentVolumeClaim, error) {
			return claims.Lister().PersistentVolumeClaims(k.Namespace).Get(k.Name)
		},
		update: func(ctx context.Context, c *v1.PersistentVolumeClaim) error {
			_, err := env.Client.CoreV1().PersistentVolumeClaims(c.Namespace).Update(ctx, c, metav1.UpdateOptions{})
			return err
		},
		used: func(ctx context.Context, c *v1.PersistentVolumeClaim) (bool, error) {
			known, err := pods.Lister().Pods(c.Namespace).List(labels.Everything())
			if err != nil || slices.ContainsFunc(known, func(p *v1.Pod) bool { return usesClaim(p, c) }) {
				return true, err
			}
			list, err := env.Client.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{})
			if err != nil {
				return true, err
			}
			return slices.ContainsFunc(list.Items, func(p v1.Pod) bool { return usesClaim(&p, c) }), nil
		},
	}
	g.loop = controller.NewLoop("claimprotection", env, 2, g.reconcile)
	if err := controller.Watch(g.loop, claims.Informer(), controller.Self[*v1.PersistentVolumeClaim]); err != nil {
		return nil, err
	}
	return g, controller.Watch(g.loop, pods.Informer(), func(_, p *v1.Pod, deleted bool) []controller.Key {
		if !deleted && !podstate.Finished(p) {
			return nil
		}
		return claimsOf(p)
	})
}

// ownClaim is the name of the claim that is made for a pod's ephemeral volume.
func ownClaim(p *v1.Pod, volume string) string { return p.Name + "-" + volume }

// claimsOf are the claims that a pod may use.
func claimsOf(p *v1.Pod) []controller.Key {
	var keys []controller.Key
	for _, v := range p.Spec.Volumes {
		switch {
		case v.PersistentVolumeClaim != nil:
			keys = append(keys, controller.Key{Namespace: p.Namespace, Name: v.PersistentVolumeClaim.ClaimName})
		case v.Ephemeral != nil:
			keys = append(keys, controller.Key{Namespace: p.Namespace, Name: ownClaim(p, v.Name)})
		}
	}
	return keys
}

// usesClaim tells whether a pod of the claim's namespace uses it. A pod without
// a node does not yet: no node starts one whose claim is to be deleted.
func usesClaim(p *v1.Pod, c *v1.PersistentVolumeClaim) bool {
	if p.Spec.NodeName == "" {
		return false
	}
	return slices.ContainsFunc(p.Spec.Volumes, func(v v1.Volume) bool {
		if v.PersistentVolumeClaim != nil {
			return v.PersistentVolumeClaim.ClaimName == c.Name
		}
		return v.Ephemeral != nil && !podstate.Finished(p) && ownClaim(p, v.Name) == c.Name && metav1.IsControlledBy(c, p)
	})
}
