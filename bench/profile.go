package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// profileSeconds is how long a CPU profile lasts. Work that takes less leaves
// the rest of it empty, work that takes longer is known well enough by then.
const profileSeconds = "4"

// profileCPU takes a profile of the server beside some work, into a file named
// after it. Call the result when the work is done: it waits for the profile.
// Profiling costs the server a little, so that figures of such a run are no
// results.
func (b *bench) profileCPU(ctx context.Context, name string) (wait func() error) {
	if b.profiles == "" {
		return func() error { return nil }
	}
	done := make(chan error, 1)
	go func() { done <- b.saveProfile(ctx, name+".cpu", "profile", "seconds", profileSeconds) }()
	return func() error { return <-done }
}

// profileHeap notes what is alive in the server after a collection.
func (b *bench) profileHeap(ctx context.Context, name string) error {
	if b.profiles == "" {
		return nil
	}
	return b.saveProfile(ctx, name+".heap", "heap", "gc", "1")
}

func (b *bench) saveProfile(ctx context.Context, file, kind, param, value string) error {
	// A connection of its own: the load keeps the shared one busy.
	client, err := b.cluster.client(protobuf, true)
	if err != nil {
		return err
	}
	body, err := client.Discovery().RESTClient().Get().AbsPath("/debug/pprof/"+kind).Param(param, value).Stream(ctx)
	if err != nil {
		return fmt.Errorf("profile %s: %w", file, err)
	}
	defer body.Close()
	f, err := os.Create(filepath.Join(b.profiles, strings.ReplaceAll(file, " ", "-")))
	if err != nil {
		return err
	}
	if _, err = io.Copy(f, body); err != nil {
		f.Close()
		return fmt.Errorf("profile %s: %w", file, err)
	}
	return f.Close()
}
