package objects

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// api is an API server of ConfigMaps that sends what it is told, and counts.
type api struct {
	kubernetes.Interface
	corev1client.CoreV1Interface
	corev1client.ConfigMapInterface

	mu      sync.Mutex
	object  *corev1.ConfigMap
	fail    error
	lists   int
	watches []*watch.RaceFreeFakeWatcher
	expired bool
}

func (a *api) CoreV1() corev1client.CoreV1Interface              { return a }
func (a *api) ConfigMaps(string) corev1client.ConfigMapInterface { return a }
func (a *api) List(_ context.Context, o metav1.ListOptions) (*corev1.ConfigMapList, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lists++
	if a.fail != nil {
		return nil, a.fail
	}
	if o.FieldSelector != "metadata.name=cfg" {
		return nil, errors.New("lists more than the one object: " + o.FieldSelector)
	}
	l := &corev1.ConfigMapList{ListMeta: metav1.ListMeta{ResourceVersion: "10"}}
	if a.object != nil {
		l.Items = append(l.Items, *a.object)
	}
	return l, nil
}

func (a *api) Watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.expired {
		a.expired = false
		return nil, apierrors.NewResourceExpired("too old")
	}
	w := watch.NewRaceFreeFake()
	a.watches = append(a.watches, w)
	return w, nil
}

func (a *api) last() *watch.RaceFreeFakeWatcher {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.watches[len(a.watches)-1]
}

func cm(rv, v string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "cfg", Namespace: "ns", ResourceVersion: rv}, Data: map[string]string{"k": v}}
}

func pod(uid types.UID) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", UID: uid}, Spec: corev1.PodSpec{Volumes: []corev1.Volume{{
		Name: "v", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cfg"}}}}}}}
}

func read(t *testing.T, c *Cache) string {
	t.Helper()
	o, err := c.ConfigMap(t.Context(), "ns", "cfg")
	if err != nil {
		return err.Error()
	}
	return o.Data["k"]
}

func TestOneWatchForAllPodsWhileAnyRefers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := &api{object: cm("5", "one")}
		c := New(ctx, a, nil)
		var mu sync.Mutex
		var told []types.UID
		c.OnChange(func(p []types.UID) {
			mu.Lock()
			defer mu.Unlock()
			slices.Sort(p)
			told = append(told, p...)
		})
		if got := read(t, c); got != `object "ns"/"cfg" not registered` {
			t.Error(got)
		}
		c.Register(pod("a"))
		c.Register(pod("b"))
		c.Register(pod("a"))
		if got := read(t, c); got != "one" {
			t.Error(got)
		}
		synctest.Wait()
		told = nil
		a.last().Modify(cm("11", "two"))
		synctest.Wait()
		if got := read(t, c); got != "two" || !slices.Equal(told, []types.UID{"a", "b"}) {
			t.Errorf("%s, told %v", got, told)
		}
		a.last().Delete(cm("12", "two"))
		synctest.Wait()
		if got := read(t, c); got != `configmap "cfg" not found` {
			t.Error(got)
		}
		a.last().Add(cm("13", "three"))
		synctest.Wait()
		// A watch that ends goes on where it was, without another list.
		a.last().Stop()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := read(t, c); got != "three" || a.lists != 1 || len(a.watches) != 2 {
			t.Errorf("%s, %d lists, %d watches", got, a.lists, len(a.watches))
		}
		// One that is too old is read anew.
		a.expired, a.object = true, cm("20", "four")
		a.last().Stop()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := read(t, c); got != "four" || a.lists != 2 {
			t.Errorf("%s, %d lists", got, a.lists)
		}
		c.Unregister("a")
		if c.Len() != 1 {
			t.Error("gone too early")
		}
		c.Unregister("b")
		synctest.Wait()
		if c.Len() != 0 || !a.last().IsStopped() {
			t.Error("still watched")
		}
		cancel()
		c.Wait()
	})
}

func TestImmutableObjectsAreNotWatched(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a := &api{object: cm("5", "fixed")}
		yes := true
		a.object.Immutable = &yes
		c := New(t.Context(), a, nil)
		c.Register(pod("a"))
		if got := read(t, c); got != "fixed" || len(a.watches) != 0 {
			t.Errorf("%s, %d watches", got, len(a.watches))
		}
		c.Unregister("a")
		c.Wait()
	})
}

func TestRefusalsPassOrAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := &api{object: cm("5", "one"), fail: apierrors.NewForbidden(corev1.Resource("configmaps"), "cfg", errors.New("no relationship found between node and this object"))}
		c := New(ctx, a, nil)
		c.Register(pod("a"))
		// The authorizer learns of the pod a moment later.
		time.AfterFunc(100*time.Millisecond, func() {
			a.mu.Lock()
			defer a.mu.Unlock()
			a.fail = nil
		})
		start := time.Now()
		if got := read(t, c); got != "one" || time.Since(start) > 300*time.Millisecond {
			t.Errorf("%s after %v", got, time.Since(start))
		}
		c.Unregister("a")
		a.mu.Lock()
		a.fail, a.lists = errors.New("down"), 0
		a.mu.Unlock()
		c.Register(pod("a"))
		if got := read(t, c); got != "down" {
			t.Error(got)
		}
		time.Sleep(10 * time.Minute)
		a.mu.Lock()
		if a.lists > 40 {
			t.Errorf("%d tries in ten minutes", a.lists)
		}
		a.mu.Unlock()
		cancel()
		c.Wait()
	})
}

func TestReferences(t *testing.T) {
	t.Parallel()
	ref := func(n string) corev1.LocalObjectReference { return corev1.LocalObjectReference{Name: n} }
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns"}, Spec: corev1.PodSpec{
		ImagePullSecrets: []corev1.LocalObjectReference{ref("pull")},
		InitContainers:   []corev1.Container{{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: ref("from-init")}}}}},
		Containers: []corev1.Container{{Env: []corev1.EnvVar{
			{ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref("env")}}},
			{Value: "x"},
		}}},
		EphemeralContainers: []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: ref("from-debug")}}}}}},
		Volumes: []corev1.Volume{
			{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "vol"}}},
			{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: ref("proj")}}, {Secret: &corev1.SecretProjection{LocalObjectReference: ref("proj")}}}}}},
		},
	}}
	got := References(p)
	for _, want := range []Key{{Secret, "ns", "pull"}, {Secret, "ns", "from-init"}, {ConfigMap, "ns", "env"}, {ConfigMap, "ns", "from-debug"}, {Secret, "ns", "vol"}, {ConfigMap, "ns", "proj"}, {Secret, "ns", "proj"}} {
		if !got[want] {
			t.Errorf("no %v", want)
		}
	}
	if len(got) != 7 {
		t.Errorf("%v", got)
	}
}
