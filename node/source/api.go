package source

import (
	"context"
	"log/slog"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"proa/node/pod"
)

// API follows the pods that the API server has bound to the node.
type API struct {
	Client   kubernetes.Interface
	NodeName string
	Sink     Sink
	// Mirror is told of mirror pods, which are not run: with gone set when one
	// has disappeared. May be nil.
	Mirror func(p *v1.Pod, gone bool)
	Log    *slog.Logger
}

// Run follows until ctx ends.
func (a *API) Run(ctx context.Context) {
	selector := fields.OneTermEqualSelector("spec.nodeName", a.NodeName).String()
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			if o.ResourceVersion == "0" {
				// Any state, however old, is not enough here: a pod deleted
				// meanwhile would be started a second time.
				o.ResourceVersion = ""
			}
			return a.Client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			return a.Client.CoreV1().Pods(metav1.NamespaceAll).Watch(ctx, o)
		},
	}
	informer := cache.NewSharedIndexInformerWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, a.Client), &v1.Pod{}, cache.SharedIndexInformerOptions{})
	registration, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { a.set(obj.(*v1.Pod)) },
		UpdateFunc: func(before, after any) {
			old, p := before.(*v1.Pod), after.(*v1.Pod)
			if old.UID != p.UID {
				// Deleted and made anew while the watch was down.
				a.remove(old)
			}
			a.set(p)
		},
		DeleteFunc: func(obj any) {
			if lost, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = lost.Obj
			}
			if p, ok := obj.(*v1.Pod); ok {
				a.remove(p)
			}
		},
	})
	if err != nil {
		// Only an informer that has been stopped refuses handlers.
		a.Log.Error("cannot follow the node's pods", "error", err)
		return
	}
	go func() {
		if cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			a.Sink.Synced()
		}
	}()
	informer.RunWithContext(ctx)
}

func (a *API) set(p *v1.Pod) {
	if !pod.IsMirror(p) {
		a.Sink.Set(p)
	} else if a.Mirror != nil {
		a.Mirror(p, false)
	}
}

func (a *API) remove(p *v1.Pod) {
	if !pod.IsMirror(p) {
		a.Sink.Remove(p.UID)
	} else if a.Mirror != nil {
		a.Mirror(p, true)
	}
}
