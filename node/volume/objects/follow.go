package objects

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	// Pauses after failures: short at first, as a node is refused what its
	// newest pod needs until the authorizer has seen the binding.
	pauseFirst = 20 * time.Millisecond
	pauseMax   = 30 * time.Second
	// watchMin is the least length of a watch, watchSpread what is added at
	// random so that a node's watches do not all end at once.
	watchMin, watchSpread = 5 * time.Minute, 5 * time.Minute
)

// object is what ConfigMap and Secret have in common.
type object interface{ metav1.Object }

// follow lists and watches one object until ctx ends.
func (c *Cache) follow(ctx context.Context, k Key, it *item) {
	pause := pauseFirst
	wait := func() bool {
		t := time.NewTimer(pause)
		defer t.Stop()
		pause = min(2*pause, pauseMax)
		select {
		case <-t.C:
			return true
		case <-ctx.Done():
			return false
		}
	}
	rv := ""
	for ctx.Err() == nil {
		if rv == "" {
			o, at, err := c.list(ctx, k)
			if err != nil {
				if ctx.Err() != nil {
					return
				}
				c.fail(it, err)
				c.log.Debug("read object", "kind", k.Kind, "namespace", k.Namespace, "name", k.Name, "err", err)
				if !wait() {
					return
				}
				continue
			}
			rv, pause = at, pauseFirst
			c.set(it, o)
			if immutable(o) {
				return // until the last pod drops it
			}
		}
		next, done, err := c.watch(ctx, k, it, rv)
		if done || ctx.Err() != nil {
			return
		}
		if err == nil {
			pause = pauseFirst
		}
		rv = next
		if err != nil && !wait() {
			return
		}
	}
}

// list reads the object and the revision to watch from; a nil object is absent.
func (c *Cache) list(ctx context.Context, k Key) (object, string, error) {
	o := metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("metadata.name", k.Name).String()}
	if k.Kind == ConfigMap {
		l, err := c.client.CoreV1().ConfigMaps(k.Namespace).List(ctx, o)
		if err != nil {
			return nil, "", err
		}
		for i := range l.Items {
			if l.Items[i].Name == k.Name {
				return &l.Items[i], l.ResourceVersion, nil
			}
		}
		return nil, l.ResourceVersion, nil
	}
	l, err := c.client.CoreV1().Secrets(k.Namespace).List(ctx, o)
	if err != nil {
		return nil, "", err
	}
	for i := range l.Items {
		if l.Items[i].Name == k.Name {
			return &l.Items[i], l.ResourceVersion, nil
		}
	}
	return nil, l.ResourceVersion, nil
}

// watch follows the object from rv until the watch ends, and returns the
// revision to go on from, "" for reading anew. done means never again.
func (c *Cache) watch(ctx context.Context, k Key, it *item, rv string) (next string, done bool, err error) {
	seconds := int64((watchMin + rand.N(watchSpread)) / time.Second)
	o := metav1.ListOptions{
		FieldSelector:       fields.OneTermEqualSelector("metadata.name", k.Name).String(),
		ResourceVersion:     rv,
		AllowWatchBookmarks: true,
		TimeoutSeconds:      &seconds,
	}
	var w watch.Interface
	if k.Kind == ConfigMap {
		w, err = c.client.CoreV1().ConfigMaps(k.Namespace).Watch(ctx, o)
	} else {
		w, err = c.client.CoreV1().Secrets(k.Namespace).Watch(ctx, o)
	}
	if err != nil {
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			return "", false, nil
		}
		return rv, false, err
	}
	defer w.Stop()
	defer context.AfterFunc(ctx, w.Stop)()
	got, start := false, time.Now()
	for e := range w.ResultChan() {
		got = true
		ob, ok := e.Object.(object)
		switch {
		case e.Type == watch.Error:
			// Whatever it is, reading anew puts it right.
			return "", false, apierrors.FromObject(e.Object)
		case !ok:
			continue
		case e.Type == watch.Bookmark:
			rv = ob.GetResourceVersion()
			continue
		case ob.GetName() != k.Name:
			continue
		}
		rv = ob.GetResourceVersion()
		if e.Type == watch.Deleted {
			c.set(it, nil)
			continue
		}
		c.set(it, ob)
		if immutable(ob) {
			return "", true, nil
		}
	}
	if !got && time.Since(start) < time.Second {
		// A watch that ends at once would otherwise be opened in a loop.
		return rv, false, errors.Join(io.ErrUnexpectedEOF, ctx.Err())
	}
	return rv, false, nil
}

func immutable(o object) bool {
	switch o := o.(type) {
	case *corev1.ConfigMap:
		return o.Immutable != nil && *o.Immutable
	case *corev1.Secret:
		return o.Immutable != nil && *o.Immutable
	}
	return false
}
