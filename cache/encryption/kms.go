package encryption

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2"
	"k8s.io/kms/pkg/service"
	"k8s.io/utils/clock"
)

// A plugin says nothing by itself, so it is asked; how often, and how long its
// last seed may be written with while it does not answer.
const (
	askWell  = time.Minute
	askIll   = 10 * time.Second
	writable = 3 * time.Minute
)

// plugin is a key management service on a unix socket, and the seed that values
// are written with at present.
type plugin struct {
	name        string
	service     service.Service
	transformer value.Transformer
	clock       clock.WithTicker
	log         *slog.Logger
	// recovered is called when what could not be read before may be readable.
	recovered func()

	state atomic.Pointer[kmsv2.State]
	err   atomic.Pointer[error] // of the last question; nil where all is well
	// missed: something could not be decrypted since all was well.
	missed atomic.Bool
	kick   chan struct{}
}

// connect opens a plugin and asks it once. One that does not answer yet is no
// error: it may be a pod of this very cluster's machine that starts later.
func connect(ctx context.Context, c *apiserver.KMSConfiguration, o Options, recovered func()) (*plugin, error) {
	s, err := kmsv2.NewGRPCService(ctx, c.Endpoint, c.Name, c.Timeout.Duration)
	if err != nil {
		return nil, fmt.Errorf("KMS plugin %q: %w", c.Name, err)
	}
	return newPlugin(ctx, c.Name, s, o, recovered), nil
}

func newPlugin(ctx context.Context, name string, s service.Service, o Options, recovered func()) *plugin {
	p := &plugin{name: name, service: s, clock: o.Clock, log: o.Log, recovered: recovered, kick: make(chan struct{}, 1)}
	p.transformer = kmsv2.NewEnvelopeTransformer(guarded{s, p}, name, p.current, "")
	p.ask(ctx)
	return p
}

// run asks the plugin until ctx ends.
func (p *plugin) run(ctx context.Context) {
	for {
		wait := askWell
		if p.failed() != nil {
			wait = askIll
		}
		timer := p.clock.NewTimer(wait)
		select {
		case <-timer.C():
		case <-p.kick:
			timer.Stop()
			// It may have been down for a moment only, but never ask in a rush.
			if !p.sleep(ctx, time.Second) {
				return
			}
		case <-ctx.Done():
			timer.Stop()
			return
		}
		p.ask(ctx)
	}
}

func (p *plugin) sleep(ctx context.Context, d time.Duration) bool {
	timer := p.clock.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C():
		return true
	case <-ctx.Done():
		return false
	}
}

// ask finds out how the plugin is, and takes a new seed where its key is another.
func (p *plugin) ask(ctx context.Context) {
	err := p.probe(ctx)
	if ctx.Err() != nil {
		return
	}
	before := p.failed()
	if err != nil {
		p.err.Store(&err)
		if before == nil {
			p.log.Error("the KMS plugin is not well; values that are written with keys not yet known cannot be read, and in three minutes none written",
				"plugin", p.name, "err", err)
		}
		return
	}
	p.err.Store(nil)
	if before != nil {
		p.log.Info("the KMS plugin is well again", "plugin", p.name)
	}
	if p.missed.Swap(false) || before != nil {
		p.recovered()
	}
}

// failed is what was wrong with the plugin when it was asked last.
func (p *plugin) failed() error {
	if err := p.err.Load(); err != nil {
		return *err
	}
	return nil
}

func (p *plugin) probe(ctx context.Context) error {
	is, err := p.service.Status(ctx)
	if err != nil {
		return fmt.Errorf("KMS plugin %q does not say how it is; see whether it runs and listens on its socket: %w", p.name, err)
	}
	if is.Healthz != "ok" {
		return fmt.Errorf("KMS plugin %q says that it is not well: %.200q", p.name, is.Healthz)
	}
	if is.Version != kmsv2.KMSAPIVersionv2 && is.Version != kmsv2.KMSAPIVersionv2beta1 {
		return fmt.Errorf("KMS plugin %q speaks version %.32q and not v2", p.name, is.Version)
	}
	if _, err := kmsv2.ValidateKeyID(is.KeyID); err != nil {
		return fmt.Errorf("KMS plugin %q: %w", p.name, err)
	}
	// Before the plugin is asked for more, so that writable is the upper bound.
	until := p.clock.Now().Add(writable)
	if now := p.state.Load(); now != nil && now.EncryptedObjectKeyID == is.KeyID {
		still := *now
		still.ExpirationTimestamp = until
		p.state.Store(&still)
		return nil
	}
	return p.seed(ctx, is.KeyID, until)
}

// seed makes a new seed under the plugin's present key.
func (p *plugin) seed(ctx context.Context, keyID string, until time.Time) error {
	uid := string(uuid.NewUUID())
	t, made, cacheKey, err := kmsv2.GenerateTransformer(ctx, uid, p.service, true)
	if err != nil {
		return fmt.Errorf("KMS plugin %q: %w", p.name, err)
	}
	if made.KeyID != keyID {
		return fmt.Errorf("KMS plugin %q encrypts with key %s although it says that its key is %s", p.name, hash(made.KeyID), hash(keyID))
	}
	p.state.Store(&kmsv2.State{
		Transformer: t, UID: uid, ExpirationTimestamp: until, CacheKey: cacheKey, KMSProviderName: p.name,
		EncryptedObjectKeyID: made.KeyID, EncryptedObjectEncryptedDEKSource: made.EncryptedDEKSource,
		EncryptedObjectAnnotations: made.Annotations, EncryptedObjectEncryptedDEKSourceType: made.EncryptedDEKSourceType,
	})
	return nil
}

// hash stands for a key ID, which may be a secret.
func hash(keyID string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(keyID))) }

// current is the seed to write with, and to compare with what was read.
func (p *plugin) current() (kmsv2.State, error) {
	s := p.state.Load()
	if s == nil {
		p.missed.Store(true)
		return kmsv2.State{}, fmt.Errorf("the KMS plugin has given no key yet: %w", p.failed())
	}
	return *s, nil
}

var errIll = errors.New("the KMS plugin is not asked while it is not well")

// guarded is the plugin as values that are read ask it. Where it does not answer,
// it is not asked again before it does: else every value that waits for it would
// hold up all the others.
type guarded struct {
	service.Service
	plugin *plugin
}

// Decrypt implements [service.Service].
func (g guarded) Decrypt(ctx context.Context, uid string, r *service.DecryptRequest) ([]byte, error) {
	if err := g.plugin.failed(); err != nil {
		g.plugin.missed.Store(true)
		return nil, fmt.Errorf("%w: %w", errIll, err)
	}
	plain, err := g.Service.Decrypt(ctx, uid, r)
	if err != nil && isUnavailable(err) {
		g.plugin.missed.Store(true)
		g.plugin.err.Store(&err)
		select {
		case g.plugin.kick <- struct{}{}:
		default:
		}
	}
	return plain, err
}

// isUnavailable reports whether a plugin did not answer, rather than refuse.
func isUnavailable(err error) bool {
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	}
	return false
}
