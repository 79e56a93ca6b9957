// Package controllertest runs controllers against the API server in process,
// for tests of their shells.
package controllertest

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/transport"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller"
)

// patience is how long what must happen may take on a busy machine.
const patience = 30 * time.Second

// Run runs controllers as administrators until the test ends, on the clock
// that they are given.
func Run(t testing.TB, env *apitest.Env, c clock.WithTicker, definitions ...controller.Definition) {
	t.Helper()
	run(t, env, c, nil, definitions)
}

// run is Run with the transport of the controllers' requests wrapped.
func run(t testing.TB, env *apitest.Env, c clock.WithTicker, wrap transport.WrapperFunc, definitions []controller.Definition) {
	t.Helper()
	config := env.Loopback(apitest.AdminUser)
	config.QPS = -1
	if wrap != nil {
		config.Wrap(wrap)
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	md, err := metadata.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	ctx, cancel := context.WithCancel(context.Background())
	var ended []chan error
	for _, d := range definitions {
		loop, err := d.New(controller.Env{
			Client: client, Metadata: md, Discovery: client.Discovery(), Informers: factory,
			Mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery())),
			Events: &record.FakeRecorder{}, Clock: c, Log: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatalf("%s: %v", d.Name, err)
		}
		done := make(chan error, 1)
		ended = append(ended, done)
		defer func() { go func() { done <- loop.Run(ctx) }() }()
	}
	factory.Start(ctx.Done())
	t.Cleanup(func() {
		cancel()
		for _, done := range ended {
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		factory.Shutdown()
	})
}

// Until calls is until it returns "", or fails with what it says.
func Until(t testing.TB, is func() string) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(2 * time.Millisecond) {
		why := is()
		if why == "" {
			return
		}
		if time.Now().After(end) {
			t.Fatal(why)
		}
	}
}
