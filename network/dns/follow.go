package dns

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	coreinformers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"proa/controller"
)

const (
	// ConfigMap in kube-system holds the Corefile, under CorefileKey; custom is one
	// whose keys it may import.
	ConfigMap, CorefileKey = "coredns", "Corefile"
	custom                 = "coredns-custom"
	// patience is how long a start waits for the ConfigMaps. Without them, names are
	// answered by the default.
	patience = 5 * time.Second
)

// follower follows the ConfigMaps, and lets the server use what they say. It lists
// the two and no other, since this node may read no other.
type follower struct {
	server *Server
	loop   *controller.Loop[changed]
	maps   map[string]cache.SharedIndexInformer
	first  chan struct{} // closed when they were read once
	told   string
	used   string
}

// changed is the one key of the loop.
type changed struct{}

func newFollower(s *Server) (*follower, error) {
	f := &follower{server: s, maps: map[string]cache.SharedIndexInformer{}, first: make(chan struct{}), used: DefaultCorefile(s.config.Domain)}
	if s.config.Client == nil {
		close(f.first)
		return f, nil
	}
	f.loop = controller.NewLoop("corefile", controller.Env{Clock: clock.RealClock{}, Log: s.config.Log}, 1, f.reconcile)
	for _, name := range []string{ConfigMap, custom} {
		f.maps[name] = coreinformers.NewFilteredConfigMapInformer(s.config.Client, metav1.NamespaceSystem, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, name).String()
		})
		if err := controller.Watch(f.loop, f.maps[name], func(_, _ *v1.ConfigMap, _ bool) []changed { return []changed{{}} }); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *follower) run(ctx context.Context) error {
	if f.loop == nil {
		return nil
	}
	var following sync.WaitGroup
	defer following.Wait()
	for _, m := range f.maps {
		following.Go(func() { m.RunWithContext(ctx) })
	}
	f.loop.Add(changed{}) // also where there is none
	if err := f.loop.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// wait returns when the ConfigMaps were read, or should have been; false if ctx ends.
func (f *follower) wait(ctx context.Context) bool {
	select {
	case <-f.first:
	case <-time.After(patience):
		f.server.config.Log.Warn("cluster DNS starts with the default Corefile, since it could not read another; check that the node may read ConfigMaps coredns and coredns-custom")
	case <-ctx.Done():
		return false
	}
	return true
}

// get returns a ConfigMap, or nil.
func (f *follower) get(name string) *v1.ConfigMap {
	o, ok, err := f.maps[name].GetStore().GetByKey(metav1.NamespaceSystem + "/" + name)
	if err != nil || !ok {
		return nil
	}
	return o.(*v1.ConfigMap)
}

// reconcile lets the server use what the ConfigMaps say. What cannot be used is told
// of, and the last that could stays.
func (f *follower) reconcile(context.Context, changed) (controller.Result, error) {
	s := f.server
	corefile, data, more := DefaultCorefile(s.config.Domain), files(nil), files(nil)
	m := f.get(ConfigMap)
	if m != nil {
		data, corefile = m.Data, m.Data[CorefileKey]
	}
	if c := f.get(custom); c != nil {
		more = c.Data
	}
	warnings, err := s.use(corefile, data, more)
	switch {
	case err != nil:
		f.tell(m, "InvalidCorefile", "The Corefile cannot be used, and names are answered as before: "+err.Error())
	case len(warnings) > 0:
		f.tell(m, "CorefileWithoutEffect", "The Corefile is used, but for this: "+strings.Join(warnings, "; "))
	default:
		f.told = ""
	}
	if err == nil && corefile != f.used {
		s.config.Log.Info("names are answered by another Corefile")
		f.used = corefile
	}
	f.opened()
	return controller.Done, nil
}

func (f *follower) opened() {
	select {
	case <-f.first:
	default:
		close(f.first)
	}
}

// tell says what is wrong, once for each change.
func (f *follower) tell(m *v1.ConfigMap, reason, text string) {
	if f.told == text {
		return
	}
	f.told = text
	f.server.config.Log.Warn("the Corefile is not used as it is written; edit it with kubectl -n kube-system edit configmap coredns", "reason", text)
	if m != nil {
		f.server.config.Events.Event(m, v1.EventTypeWarning, reason, text)
	}
}
