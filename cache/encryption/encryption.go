package encryption

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/utils/clock"

	"proa/cache"
	"proa/reload"
	"proa/resource"
)

// CheckName is the health check of plugins.
const CheckName = "kms-providers"

// retire is how long the plugins of a former configuration stay open for what is
// under way, beyond their own timeouts.
const retire = 10 * time.Second

// Options of [Open]. Path is required.
type Options struct {
	// Path of the EncryptionConfiguration.
	Path string
	// Reload follows the file.
	Reload bool
	Clock  clock.WithTicker
	Log    *slog.Logger
}

// Encryption is a configuration in force, which may be exchanged for another.
// Safe for concurrent use.
type Encryption struct {
	options Options
	ctx     context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	loaded  []byte

	rules  atomic.Pointer[rules]
	notify atomic.Pointer[func()]
}

// Open reads the configuration and connects to its plugins. What it starts ends
// with ctx; Close waits for that.
func Open(ctx context.Context, o Options) (*Encryption, error) {
	if o.Clock == nil {
		o.Clock = clock.RealClock{}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	e := &Encryption{options: o}
	e.ctx, e.stop = context.WithCancel(ctx)
	data, err := reload.Read(o.Path)
	if err == nil {
		err = e.load(e.ctx, data)
	}
	if err != nil {
		e.Close()
		return nil, fmt.Errorf("EncryptionConfiguration %s cannot be used; correct it, since without it encrypted objects cannot be read: %w", o.Path, err)
	}
	if o.Reload {
		f := reload.File{Path: o.Path, Loaded: data, Load: e.load, Log: o.Log}
		e.running.Go(func() { f.Follow(e.ctx) })
	}
	return e, nil
}

// None encrypts nothing, and says of what is encrypted that it cannot be read.
func None() *Encryption {
	e := &Encryption{stop: func() {}}
	e.rules.Store(&rules{})
	return e
}

// Close ends everything that runs, and waits for it.
func (e *Encryption) Close() {
	e.stop()
	e.running.Wait()
}

// Notify sets what is called when values that could not be read may be readable
// now.
func (e *Encryption) Notify(f func()) { e.notify.Store(&f) }

func (e *Encryption) changed() {
	if f := e.notify.Load(); f != nil {
		(*f)()
	}
}

// load takes a configuration into force.
func (e *Encryption) load(_ context.Context, data []byte) error {
	c, err := parse(data)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(e.ctx)
	next, err := build(c, func(k *apiserver.KMSConfiguration) (*plugin, error) {
		return connect(ctx, k, e.options, e.changed)
	})
	if err != nil {
		stop()
		return err
	}
	next.stop = stop
	for _, p := range next.plugins {
		e.running.Go(func() { p.run(ctx) })
	}
	if old := e.rules.Swap(next); old != nil {
		e.running.Go(func() {
			timer := e.options.Clock.NewTimer(retire)
			defer timer.Stop()
			select {
			case <-timer.C():
			case <-e.ctx.Done():
			}
			old.stop()
		})
	}
	e.changed()
	return nil
}

// Check says what is wrong with the plugins, if there are any.
func (e *Encryption) Check(*http.Request) error {
	var errs []error
	for _, p := range e.rules.Load().plugins {
		if err := p.failed(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// For returns how values of a resource are encrypted, by whatever configuration
// is in force when one is read or written.
func (e *Encryption) For(d *resource.Definition) cache.Transformer {
	return transformer{e, d.GroupResource()}
}

type transformer struct {
	encryption *Encryption
	resource   schema.GroupResource
}

// Active implements [cache.Transformer].
func (t transformer) Active() bool { return t.encryption.rules.Load().find(t.resource) != nil }

// ToStore implements [cache.Transformer].
func (t transformer) ToStore(ctx context.Context, key string, plain []byte) ([]byte, error) {
	c := t.encryption.rules.Load().find(t.resource)
	if c == nil {
		return plain, nil
	}
	return c.seal(ctx, key, plain)
}

// FromStore implements [cache.Transformer].
func (t transformer) FromStore(ctx context.Context, key string, stored []byte) ([]byte, bool, error) {
	c := t.encryption.rules.Load().find(t.resource)
	if c == nil {
		if bytes.HasPrefix(stored, encrypted) {
			return nil, false, unknown(stored)
		}
		return stored, false, nil
	}
	return c.open(ctx, key, stored)
}
