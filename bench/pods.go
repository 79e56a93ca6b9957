package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// containerSpace is the namespace of the pods with real containers.
const containerSpace = "containers"

// helloPod runs the project's own example image, which every node has.
func helloPod(name string) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "hello"}},
		Spec:       v1.PodSpec{Containers: []v1.Container{{Name: "hello", Image: "proa.local/hello:1"}}},
	}
}

// life is how long pods took to be seen Ready and to be seen gone, and the CPU
// time of everything meanwhile.
type life struct {
	ready, gone       time.Duration
	readyCPU, goneCPU time.Duration
}

// measureSingles creates and deletes one pod after the other. The first fills
// the caches of the runtime and does not count.
func (b *bench) measureSingles(ctx context.Context) error {
	if err := b.namespace(ctx, containerSpace); err != nil {
		return err
	}
	var ready, gone, cpu []time.Duration
	for i := range b.plan.singles + 1 {
		l, err := b.lives(ctx, []string{fmt.Sprintf("single-%d", i)}, nil)
		if err != nil {
			return err
		}
		if i > 0 {
			ready, gone, cpu = append(ready, l.ready), append(gone, l.gone), append(cpu, l.readyCPU+l.goneCPU)
		}
	}
	b.figures[podReady] = milliseconds(median(ready))
	b.figures[podGone] = milliseconds(median(gone))
	b.figures[podCPU] = milliseconds(median(cpu))
	return nil
}

// measureBurst creates many pods at once, and looks at the cluster at rest
// while they run.
func (b *bench) measureBurst(ctx context.Context) error {
	names := make([]string, b.plan.burst)
	for i := range names {
		names[i] = fmt.Sprintf("burst-%d", i)
	}
	before, err := readCores()
	if err != nil {
		return err
	}
	l, err := b.lives(ctx, names, func() error {
		after, err := readCores()
		if err != nil {
			return err
		}
		b.figures[burstBusy] = after.busySince(before)
		return b.measureRest(ctx, restPodsMemory, restPodsCPU)
	})
	if err != nil {
		return err
	}
	n := float64(len(names))
	b.figures[burstRate] = n / l.ready.Seconds()
	b.figures[burstCPU] = milliseconds(l.readyCPU) / n
	b.figures[burstGone] = milliseconds(l.gone)
	b.figures[burstGoneCPU] = milliseconds(l.goneCPU) / n
	return nil
}

// lives creates pods at once and deletes them again with the grace that they
// have by default. It measures from the first create until all were seen Ready,
// and from the first delete until all were seen gone. While they are Ready it
// calls meanwhile, if there is one.
func (s *subject) lives(ctx context.Context, names []string, meanwhile func() error) (l life, err error) {
	pods := s.client.CoreV1().Pods(containerSpace)
	w, err := pods.Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return l, fmt.Errorf("watch pods: %w", err)
	}
	defer w.Stop()
	l.ready, l.readyCPU, err = s.costOfAll(func() error {
		if err := parallel(ctx, len(names), len(names), func(ctx context.Context, i int) error {
			_, err := pods.Create(ctx, helloPod(names[i]), metav1.CreateOptions{})
			return err
		}); err != nil {
			return fmt.Errorf("create pods: %w", err)
		}
		return await(ctx, w.ResultChan(), names, isReady)
	})
	if err != nil {
		return l, err
	}
	if meanwhile != nil {
		if err := meanwhile(); err != nil {
			return l, err
		}
	}
	l.gone, l.goneCPU, err = s.costOfAll(func() error {
		if err := parallel(ctx, len(names), len(names), func(ctx context.Context, i int) error {
			return pods.Delete(ctx, names[i], metav1.DeleteOptions{})
		}); err != nil {
			return fmt.Errorf("delete pods: %w", err)
		}
		return await(ctx, w.ResultChan(), names, func(e watch.Event, _ *v1.Pod) bool { return e.Type == watch.Deleted })
	})
	return l, err
}

// costOfAll runs f and returns the time it took and the CPU time of the server,
// of all that it has started, and of the pods.
func (s *subject) costOfAll(f func() error) (wall, cpu time.Duration, err error) {
	before, err := s.accounting().used()
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	if err := f(); err != nil {
		return 0, 0, err
	}
	wall = time.Since(start)
	after, err := s.accounting().used()
	return wall, after - before, err
}

// podLimit is when a pod that does not get on fails the run.
const podLimit = 2 * time.Minute

// await reads events until each named pod has had one for which reached holds.
func await(ctx context.Context, events <-chan watch.Event, names []string, reached func(watch.Event, *v1.Pod) bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, podLimit, errors.New("the pods do not get on"))
	defer cancel()
	left := map[string]bool{}
	for _, n := range names {
		left[n] = true
	}
	for len(left) > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d pods left: %w", len(left), len(names), context.Cause(ctx))
		case e, ok := <-events:
			if !ok {
				return errors.New("the watch on the pods ended early")
			}
			if pod, ok := e.Object.(*v1.Pod); ok && reached(e, pod) {
				delete(left, pod.Name)
			}
		}
	}
	return nil
}

func isReady(_ watch.Event, pod *v1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == v1.PodReady {
			return c.Status == v1.ConditionTrue
		}
	}
	return false
}
