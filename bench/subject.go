package main

import (
	"context"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/kubernetes"
)

// side is a cluster that is measured, whoever made it.
type side interface {
	// name in tables.
	name() string
	// up starts it and returns when its node is ready, and down ends it, with
	// purge its data too.
	up(ctx context.Context) (startTimes, error)
	down(ctx context.Context, purge bool) error
	// client talks to it over HTTPS as its administrator, without a limit of its
	// own on the rate. With alone it has a connection of its own; otherwise all
	// clients share one.
	client(contentType string, alone bool) (kubernetes.Interface, error)
	// kubeconfig is the administrator's.
	kubeconfig() string
	// accounting tells what everything that belongs to it uses.
	accounting() *account
}

// subject is a side at work: what asks it for work are its methods.
type subject struct {
	side
	plan   plan
	client kubernetes.Interface // protobuf, over the shared connection
}

// connect makes the client, which every start needs anew.
func (s *subject) connect() (err error) {
	s.client, err = s.side.client(protobuf, false)
	return err
}

// namespace makes one and waits until pods can be created in it, which takes
// its default service account.
func (s *subject) namespace(ctx context.Context, name string) error {
	if _, err := s.client.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	w, err := s.client.CoreV1().ServiceAccounts(name).Watch(ctx, metav1.ListOptions{
		FieldSelector: fields.OneTermEqualSelector("metadata.name", "default").String(),
	})
	if err != nil {
		return fmt.Errorf("wait for the service account of %s: %w", name, err)
	}
	defer w.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case _, ok := <-w.ResultChan():
		if !ok {
			return fmt.Errorf("the watch on the service account of %s ended", name)
		}
		return nil
	}
}

// namespaceOnce makes a namespace unless it is there.
func (s *subject) namespaceOnce(ctx context.Context, name string) error {
	_, err := s.client.CoreV1().Namespaces().Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return s.namespace(ctx, name)
	}
	return err
}

// each runs f on the n pods of the load from the first on, several at a time,
// and returns how long each took.
func (s *subject) each(ctx context.Context, first, n int, f func(ctx context.Context, namespace, name string) error) ([]time.Duration, error) {
	took := make([]time.Duration, n)
	err := parallel(ctx, n, s.plan.workers, func(ctx context.Context, i int) error {
		ns, name := place(first + i)
		began := time.Now()
		err := f(ctx, ns, name)
		took[i] = time.Since(began)
		return err
	})
	return took, err
}
