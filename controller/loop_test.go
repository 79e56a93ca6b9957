package controller

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"

	"k8s.io/utils/clock"
)

// A loop leaves nothing behind, however it ends: the bubble fails where a
// goroutine of its queue is left.
func TestLoopEnds(t *testing.T) {
	t.Parallel()
	env := Env{Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler)}
	reconcile := func(context.Context, string) (Result, error) { return Done, nil }
	cases := map[string]func(t *testing.T, l *Loop[string]){
		"before it runs":  func(_ *testing.T, l *Loop[string]) { l.Close() },
		"closed twice":    func(_ *testing.T, l *Loop[string]) { l.Close(); l.Close() },
		"while it starts": func(t *testing.T, l *Loop[string]) { run(t, l, func(cancel func()) { cancel() }) },
		"at rest":         func(t *testing.T, l *Loop[string]) { run(t, l, func(cancel func()) { synctest.Wait(); cancel() }) },
		"at work":         func(t *testing.T, l *Loop[string]) { run(t, l, func(cancel func()) { l.Add("a"); cancel() }) },
	}
	for name, end := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { end(t, NewLoop("test", env, 2, reconcile)) })
		})
	}
}

// run runs the loop until end has called its argument.
func run(t *testing.T, l *Loop[string], end func(cancel func())) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	end(cancel)
	if err := <-done; err != nil && err != context.Canceled {
		t.Error(err)
	}
}

// What a worker's panic leaves is an error of its key, which is tried again.
func TestLoopSurvivesPanic(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		env := Env{Clock: clock.RealClock{}, Log: slog.New(slog.DiscardHandler)}
		tries := 0
		ctx, cancel := context.WithCancel(t.Context())
		l := NewLoop("test", env, 1, func(context.Context, string) (Result, error) {
			if tries++; tries < 3 {
				panic("lost its way")
			}
			cancel()
			return Done, nil
		})
		l.Add("a")
		if err := l.Run(ctx); err != nil || tries != 3 {
			t.Errorf("%v after %d tries", err, tries)
		}
	})
}
