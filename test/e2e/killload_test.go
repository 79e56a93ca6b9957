package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/ptr"
)

// writers change ConfigMaps, pods and the size of a deployment, and remember
// what was acknowledged.
type writers struct {
	u     *user
	round int
	// killed is set before the server is, so that a write which fails earlier
	// is a fault of the server.
	killed atomic.Bool

	mu     sync.Mutex
	states map[string]*written
	acks   int
}

// written is what may be in the API of one object: the last state that was
// acknowledged, or one that was asked for since, without an answer. absent is
// that of an object that is not there.
type written struct {
	acknowledged string
	unclear      []string
}

const absent = "(absent)"

func startWriters(u *user) *writers {
	return &writers{u: u, states: map[string]*written{"scale": {acknowledged: "1"}}}
}

func (w *writers) acknowledged() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acks
}

// write asks for one change, which makes the object's state the given one. It
// returns false when the server has been killed.
func (w *writers) write(object, state string, change func(context.Context) error) bool {
	ctx, cancel := context.WithTimeout(w.u.t.Context(), patience)
	defer cancel()
	w.mu.Lock()
	s := w.states[object]
	if s == nil {
		s = &written{acknowledged: absent}
		w.states[object] = s
	}
	s.unclear = append(s.unclear, state)
	w.mu.Unlock()
	err := change(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if !w.killed.Load() {
			w.u.t.Errorf("write %s of %s: %v", state, object, err)
		}
		return false
	}
	*s = written{acknowledged: state}
	w.acks++
	return true
}

// writeUntilKilled writes for a while, kills the server, and returns when all
// writes have been answered or have failed.
func (w *writers) writeUntilKilled(after time.Duration) {
	w.u.t.Helper()
	w.killed.Store(false)
	w.round++
	var all sync.WaitGroup
	for n := range 3 {
		all.Go(func() { w.configMaps(n) })
	}
	all.Go(w.pods)
	all.Go(w.scale)
	<-time.After(after) // the moment is random, and waits for nothing
	w.killed.Store(true)
	w.u.kill()
	all.Wait()
}

func (w *writers) configMaps(n int) {
	client := w.u.api.CoreV1().ConfigMaps(w.u.namespace)
	for i := 0; ; i++ {
		name := fmt.Sprintf("k%d-%d-%d", w.round, n, i)
		if !w.write("cm/"+name, "0", func(ctx context.Context) error {
			_, err := client.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kill": "yes"}}, Data: map[string]string{"v": "0"}}, metav1.CreateOptions{})
			return err
		}) {
			return
		}
		for v := 1; v < 3; v++ {
			if !w.write("cm/"+name, strconv.Itoa(v), func(ctx context.Context) error {
				_, err := client.Patch(ctx, name, types.MergePatchType, fmt.Appendf(nil, `{"data":{"v":"%d"}}`, v), metav1.PatchOptions{})
				return err
			}) {
				return
			}
		}
		if i%2 == 0 && !w.write("cm/"+name, absent, func(ctx context.Context) error { return client.Delete(ctx, name, metav1.DeleteOptions{}) }) {
			return
		}
	}
}

// pods makes pods, marks them, and removes those of the round before: at once,
// and with a grace period in which the server may be killed.
func (w *writers) pods() {
	client := w.u.api.CoreV1().Pods(w.u.namespace)
	w.mu.Lock()
	var old []string
	for object, s := range w.states {
		if name, ok := strings.CutPrefix(object, "pod/"); ok && s.acknowledged != absent {
			old = append(old, name)
		}
	}
	w.mu.Unlock()
	slices.Sort(old)
	for i := 0; i < 3 || len(old) > 0; i++ {
		if i < 3 {
			name := fmt.Sprintf("k%d-%d", w.round, i)
			if !w.write("pod/"+name, "0", func(ctx context.Context) error {
				_, err := client.Create(ctx, sleeper(name), metav1.CreateOptions{})
				return err
			}) || !w.write("pod/"+name, "1", func(ctx context.Context) error {
				_, err := client.Patch(ctx, name, types.StrategicMergePatchType, []byte(`{"metadata":{"annotations":{"v":"1"}}}`), metav1.PatchOptions{})
				return err
			}) {
				return
			}
		}
		if len(old) > 0 {
			name := old[0]
			old = old[1:]
			o := metav1.DeleteOptions{GracePeriodSeconds: ptr.To(int64(i % 2))}
			if !w.write("pod/"+name, absent, func(ctx context.Context) error { return client.Delete(ctx, name, o) }) {
				return
			}
		}
	}
}

func sleeper(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"kill": "yes"}, Annotations: map[string]string{"v": "0"}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: ptr.To(int64(1)),
			Containers:                    []corev1.Container{{Name: "c", Image: "proa.local/hello:1", Command: []string{"sleep", "36000"}}},
		},
	}
}

func (w *writers) scale() {
	for i := 0; i < 8; i++ {
		n := (w.round + i) % 4
		if !w.write("scale", strconv.Itoa(n), func(ctx context.Context) error {
			_, err := w.u.api.AppsV1().Deployments(w.u.namespace).Patch(ctx, "load", types.MergePatchType, fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, n), metav1.PatchOptions{}, "scale")
			return err
		}) {
			return
		}
	}
}

// verify compares what was acknowledged with what is there.
func (w *writers) verify() {
	w.u.t.Helper()
	ctx, api, options := w.u.t.Context(), w.u.api, metav1.ListOptions{LabelSelector: "kill=yes"}
	is := map[string]string{}
	configs, err := api.CoreV1().ConfigMaps(w.u.namespace).List(ctx, options)
	if err != nil {
		w.u.t.Fatal(err)
	}
	for i := range configs.Items {
		is["cm/"+configs.Items[i].Name] = configs.Items[i].Data["v"]
	}
	pods, err := api.CoreV1().Pods(w.u.namespace).List(ctx, options)
	if err != nil {
		w.u.t.Fatal(err)
	}
	for i := range pods.Items {
		if pods.Items[i].DeletionTimestamp == nil { // one that goes is as good as gone
			is["pod/"+pods.Items[i].Name] = pods.Items[i].Annotations["v"]
		}
	}
	scale, err := api.AppsV1().Deployments(w.u.namespace).GetScale(ctx, "load", metav1.GetOptions{})
	if err != nil {
		w.u.t.Fatal(err)
	}
	is["scale"] = strconv.Itoa(int(scale.Spec.Replicas))
	for object := range is {
		if w.states[object] == nil {
			w.u.t.Errorf("%s was never asked for", object)
		}
	}
	for object, s := range w.states {
		now, ok := is[object]
		if !ok {
			now = absent
		}
		if now != s.acknowledged && !slices.Contains(s.unclear, now) {
			w.u.t.Errorf("%s is %s; acknowledged was %s, and asked for since: %v", object, now, s.acknowledged, s.unclear)
		}
		*s = written{acknowledged: now}
	}
}

// watcher follows the ConfigMaps across all deaths of the server, from the
// last version that it has seen.
type watcher struct {
	cancel context.CancelFunc
	done   chan struct{}
	// seen is what the events add up to. Read after done.
	seen   map[string]string
	faults []string
}

const lastConfigMap = "the-last-one"

func startWatcher(u *user) *watcher {
	ctx, cancel := context.WithCancel(u.t.Context())
	w := &watcher{cancel: cancel, done: make(chan struct{}), seen: map[string]string{}}
	go w.run(ctx, u)
	u.t.Cleanup(func() { cancel(); <-w.done })
	return w
}

func (w *watcher) run(ctx context.Context, u *user) {
	defer close(w.done)
	version := ""
	for ctx.Err() == nil && w.seen[lastConfigMap] == "" {
		next, err := w.follow(ctx, u, version)
		version = next
		if err != nil {
			// The server is down; a client tries again in a while.
			select {
			case <-ctx.Done():
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// follow watches until the watch ends, and returns where to go on.
func (w *watcher) follow(ctx context.Context, u *user, from string) (string, error) {
	client := u.api.CoreV1().ConfigMaps(u.namespace)
	options := metav1.ListOptions{LabelSelector: "kill=yes"}
	if from == "" {
		list, err := client.List(ctx, options)
		if err != nil {
			return from, err
		}
		clear(w.seen)
		for i := range list.Items {
			w.seen[list.Items[i].Name] = list.Items[i].Data["v"]
		}
		from = list.ResourceVersion
	}
	options.ResourceVersion, options.AllowWatchBookmarks = from, true
	events, err := client.Watch(ctx, options)
	if err != nil {
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			return "", nil
		}
		return from, err
	}
	defer events.Stop()
	for e := range events.ResultChan() {
		if e.Type == watch.Error {
			if err := apierrors.FromObject(e.Object); apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
				return "", nil
			}
			return from, apierrors.FromObject(e.Object)
		}
		cm := e.Object.(*corev1.ConfigMap)
		if older(cm.ResourceVersion, from) || cm.ResourceVersion == from && e.Type != watch.Bookmark {
			w.faults = append(w.faults, fmt.Sprintf("%s %s at %s came after %s", e.Type, cm.Name, cm.ResourceVersion, from))
		}
		_, known := w.seen[cm.Name]
		switch e.Type {
		case watch.Added, watch.Modified:
			if known != (e.Type == watch.Modified) {
				w.faults = append(w.faults, fmt.Sprintf("%s of %s, which is known: %v", e.Type, cm.Name, known))
			}
			w.seen[cm.Name] = cm.Data["v"]
		case watch.Deleted:
			if !known {
				w.faults = append(w.faults, "DELETED of "+cm.Name+", which is not known")
			}
			delete(w.seen, cm.Name)
		}
		from = cm.ResourceVersion
		if cm.Name == lastConfigMap {
			return from, nil
		}
	}
	return from, errors.New("the watch ended")
}

func older(a, b string) bool {
	x, _ := strconv.ParseUint(a, 10, 64)
	y, _ := strconv.ParseUint(b, 10, 64)
	return x < y
}

// verify makes one more write, waits until the watcher has seen it, and
// compares what it has put together with what is there.
func (w *watcher) verify(u *user) {
	u.t.Helper()
	client := u.api.CoreV1().ConfigMaps(u.namespace)
	last := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: lastConfigMap, Labels: map[string]string{"kill": "yes"}}, Data: map[string]string{"v": "last"}}
	if _, err := client.Create(u.t.Context(), last, metav1.CreateOptions{}); err != nil {
		u.t.Fatal(err)
	}
	select {
	case <-w.done:
	case <-time.After(patience):
		u.t.Fatal("the watcher does not see the last write")
	}
	list, err := client.List(u.t.Context(), metav1.ListOptions{LabelSelector: "kill=yes"})
	if err != nil {
		u.t.Fatal(err)
	}
	is := map[string]string{}
	for i := range list.Items {
		is[list.Items[i].Name] = list.Items[i].Data["v"]
	}
	if !maps.Equal(is, w.seen) {
		u.t.Errorf("watched together: %v\nis: %v", w.seen, is)
	}
	for _, f := range w.faults {
		u.t.Error("watch: " + f)
	}
}
