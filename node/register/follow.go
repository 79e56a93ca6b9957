package register

import (
	"context"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// follow keeps the newest Node object as others change it, until ctx ends: a node
// that was silent for long finds that its conditions were made unknown, and says
// at once how it is.
func (r *Registrar) follow(ctx context.Context) {
	// A node may see itself only.
	own := informers.NewSharedInformerFactoryWithOptions(r.Client, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, r.Config.NodeName).String()
	}))
	seen := func(object any) {
		if n, ok := object.(*v1.Node); ok && r.newer(n) {
			r.keep(n)
			r.Poke()
		}
	}
	_, err := own.Core().V1().Nodes().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: seen, UpdateFunc: func(_, n any) { seen(n) },
	})
	if err != nil { // only once it was stopped
		r.Log.Error("the node's own object cannot be followed", "node", r.Config.NodeName, "error", err)
		return
	}
	own.Start(ctx.Done())
	<-ctx.Done()
	own.Shutdown()
}

// newer tells whether a Node comes after the one that is known. What this agent has
// written itself is known before it is told of it.
func (r *Registrar) newer(n *v1.Node) bool {
	known := r.Node()
	if known == nil {
		return true
	}
	order, err := resourceversion.CompareResourceVersion(n.ResourceVersion, known.ResourceVersion)
	return err != nil || order > 0
}
