package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/events/exchange"
	"github.com/containerd/containerd/v2/core/metadata"
	csandbox "github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/ttrpc"
	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
)

// Runtime is a containerd running in this process.
type Runtime struct {
	conf   Config
	log    *slog.Logger
	lock   *os.File
	set    *plugin.Set
	cancel context.CancelFunc

	grpc  *grpc.Server
	ttrpc *ttrpc.Server

	ready  chan struct{} // closed when CRI answers
	failed chan struct{} // closed when a part of it has died
	once   sync.Once
	err    error // why, set before failed is closed

	durable   *durability
	snapshots *storage.MetaStore // nil with another snapshotter than overlayfs
	saving    sync.WaitGroup

	serving sync.WaitGroup
	stop    sync.Once
	stopped atomic.Bool
}

// Start brings the runtime up: it takes the lock on Root, loads the plugins
// (which finds the containers that are still running from before), and listens
// on the sockets. It returns once the sockets accept connections; CRI calls are
// answered after Ready. The context bounds the start only; Stop ends the
// runtime.
//
// Errors name what is wrong with the configuration or the machine. One that
// satisfies errors.Is(err, ErrInUse) means that another process has this Root.
func Start(ctx context.Context, c Config) (_ *Runtime, err error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("container runtime configuration: %w", err)
	}
	if err := checkBinaries(c); err != nil {
		return nil, err
	}
	if err := makeDirs(c); err != nil {
		return nil, err
	}
	began := time.Now()
	r := &Runtime{
		conf:   c,
		log:    c.Logger,
		ready:  make(chan struct{}),
		failed: make(chan struct{}),
	}
	if r.lock, err = lockRoot(c.Root); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			r.Stop()
		}
	}()
	if err := pauseRoot(c); err != nil {
		return nil, err
	}
	facts, err := probe(c)
	if err != nil {
		return nil, err
	}
	if err := awaitHelpers(ctx, c.Socket); err != nil {
		return nil, err
	}
	earlier, err := pinned(c.State)
	if err != nil {
		return nil, err
	}
	// The plugins keep this context for their background work.
	run, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r.cancel = cancel
	if r.durable, err = newDurability(c.Root, c.Logger); err != nil {
		return nil, err
	}
	if err := r.durable.open(); err != nil {
		return nil, err
	}
	entry := newLogger(c.Logger.Handler(), &r.stopped, func(msg string) { r.fail(errors.New(msg)) })
	set, background, err := load(run, c, facts, entry, r.durable.restored, &r.snapshots)
	r.set = set
	if err != nil {
		return nil, err
	}
	if err := endOrphans(c, c.Logger); err != nil {
		return nil, err
	}
	if r.grpc, r.ttrpc, err = newServers(set); err != nil {
		return nil, err
	}
	shims, err := listen(c.ttrpcSocket())
	if err != nil {
		return nil, err
	}
	clients, err := listen(c.Socket)
	if err != nil {
		shims.Close()
		return nil, err
	}
	if r.snapshots != nil {
		if err := r.keepCheckpoint(run); err != nil {
			return nil, err
		}
	}
	r.serve("shim events", shims, func(l net.Listener) error { return r.ttrpc.Serve(run, l) }, ttrpc.ErrServerClosed)
	r.serve("CRI", clients, r.grpc.Serve, grpc.ErrServerStopped)
	go func() {
		background.Wait()
		r.pruneSandboxes(run, earlier)
		r.log.Info("container runtime ready", "socket", c.Socket, "snapshotter", facts.snapshotter,
			"restrictOOMScoreAdj", facts.restrictOOMScoreAdj, "took", time.Since(began).Round(time.Millisecond))
		close(r.ready)
	}()
	return r, nil
}

// keepCheckpoint saves a checkpoint after each change of images.
func (r *Runtime) keepCheckpoint(ctx context.Context) error {
	db, err := instanceOf[*metadata.DB](r.set, plugins.MetadataPlugin, "bolt")
	if err != nil {
		return err
	}
	ex, err := instanceOf[*exchange.Exchange](r.set, plugins.EventPlugin, "exchange")
	if err != nil {
		return err
	}
	save := func() error {
		return r.durable.checkpoint(
			func(w io.Writer) error {
				return db.View(func(tx *bolt.Tx) error {
					_, err := tx.WriteTo(w)
					return err
				})
			},
			func(w io.Writer) error { return copyMetaStore(context.WithoutCancel(ctx), r.snapshots, w) })
	}
	changes := make(chan struct{}, 1)
	if r.durable.stale {
		changes <- struct{}{}
	}
	events, ended := ex.Subscribe(ctx, `topic~="^/images/"`)
	r.saving.Go(func() {
		for {
			select {
			case <-events:
				select {
				case changes <- struct{}{}:
				default: // there is one waiting already
				}
			case <-ended:
				return
			}
		}
	})
	r.saving.Go(func() { r.durable.keep(ctx, changes, save) })
	return nil
}

// pruneSandboxes removes the files of sandboxes that containerd does not know, and
// of the network namespaces from earlier those that belong to none.
func (r *Runtime) pruneSandboxes(ctx context.Context, earlier []string) {
	store, err := instanceOf[csandbox.Store](r.set, plugins.SandboxStorePlugin, "local")
	if err != nil {
		r.log.Warn("cannot look for leftovers of sandboxes", "err", err)
		return
	}
	s, err := instanceOf[*sandboxer](r.set, plugins.SandboxControllerPlugin, sandboxerID)
	if err != nil {
		r.log.Warn("cannot look for leftovers of sandboxes", "err", err)
		return
	}
	all, err := store.List(namespaces.WithNamespace(ctx, criNamespace))
	if err != nil {
		r.log.Warn("cannot look for leftovers of sandboxes", "err", err)
		return
	}
	known := map[string]bool{}
	for _, sb := range all {
		known[sb.ID] = true
	}
	s.prune(ctx, known)
	if err := unpin(r.conf.State, unclaimed(earlier, all)); err != nil {
		r.log.Warn("cannot remove network namespaces of pods that were not started", "err", err)
	}
}

// criNamespace is containerd's namespace for everything of CRI's.
const criNamespace = "k8s.io"

// instanceOf finds what a loaded plugin made.
func instanceOf[T any](set *plugin.Set, typ plugin.Type, id string) (T, error) {
	var none T
	p := set.Get(typ, id)
	if p == nil {
		return none, fmt.Errorf("containerd plugin %s.%s is not loaded", typ, id)
	}
	instance, err := p.Instance()
	if err != nil {
		return none, err
	}
	t, ok := instance.(T)
	if !ok {
		return none, fmt.Errorf("containerd plugin %s.%s is a %T", typ, id, instance)
	}
	return t, nil
}

// serve runs a server until it is stopped; an early end fails the runtime.
func (r *Runtime) serve(what string, l net.Listener, serve func(net.Listener) error, closed error) {
	r.serving.Add(1)
	go func() {
		defer r.serving.Done()
		if err := serve(l); err != nil && !errors.Is(err, closed) && !errors.Is(err, net.ErrClosed) {
			r.fail(fmt.Errorf("serve %s on %s: %w", what, l.Addr(), err))
		}
	}()
}

func (r *Runtime) fail(err error) {
	r.once.Do(func() {
		r.err = err
		close(r.failed)
	})
}

// Ready is closed when CRI calls are answered: running containers have been
// found again, and the pod network's configuration is being watched.
func (r *Runtime) Ready() <-chan struct{} { return r.ready }

// Failed is closed when the runtime has stopped working by itself; Err says
// why. The process should be restarted then; containers are not affected.
func (r *Runtime) Failed() <-chan struct{} { return r.failed }

// Err is the cause of Failed, and nil before it.
func (r *Runtime) Err() error {
	select {
	case <-r.failed:
		return r.err
	default:
		return nil
	}
}

// WaitReady waits for Ready, and returns early with the cause of Failed or of
// the context's end.
func (r *Runtime) WaitReady(ctx context.Context) error {
	select {
	case <-r.ready:
		return nil
	case <-r.failed:
		return fmt.Errorf("container runtime: %w", r.err)
	case <-ctx.Done():
		return fmt.Errorf("container runtime not ready: %w", context.Cause(ctx))
	}
}

// Socket is the path of the CRI socket.
func (r *Runtime) Socket() string { return r.conf.Socket }

// Endpoint is the CRI endpoint as --container-runtime-endpoint takes it.
func (r *Runtime) Endpoint() string { return "unix://" + r.conf.Socket }

// Stop closes the sockets and the databases and gives up the lock. Containers
// go on running under their shims, to be found by the next Start. It may be
// called more than once.
func (r *Runtime) Stop() {
	r.stop.Do(func() {
		r.stopped.Store(true)
		if r.grpc != nil {
			r.grpc.Stop()
		}
		if r.ttrpc != nil {
			if err := r.ttrpc.Close(); err != nil {
				r.log.Debug("close shim event server", "err", err)
			}
		}
		r.serving.Wait()
		if r.cancel != nil {
			r.cancel()
		}
		r.saving.Wait()
		if r.set != nil {
			closePlugins(r.set, r.log)
		}
		if r.durable != nil {
			if err := r.durable.close(); err != nil {
				r.log.Warn("container runtime stopped with its databases not on disk", "err", err)
			}
		}
		for _, path := range []string{r.conf.Socket, r.conf.ttrpcSocket()} {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				r.log.Debug("remove socket", "err", err)
			}
		}
		if r.lock != nil {
			unlockRoot(r.lock)
		}
	})
}

// closePlugins closes what can be closed, last loaded first.
func closePlugins(set *plugin.Set, log *slog.Logger) {
	all := set.GetAll()
	for i := len(all) - 1; i >= 0; i-- {
		instance, err := all[i].Instance()
		if err != nil {
			continue
		}
		if c, ok := instance.(io.Closer); ok {
			if err := c.Close(); err != nil {
				log.Debug("close containerd plugin", "plugin", all[i].Registration.URI(), "err", err)
			}
		}
	}
}

// ErrInUse means that another process runs on the same Root.
var ErrInUse = errors.New("in use by another process")

// Lock keeps runtimes off a Root, for work on its files, until unlock is called.
// It fails with ErrInUse while one is running there. The directory need not
// exist.
func Lock(root string) (unlock func(), err error) {
	f, err := lockRoot(root)
	if errors.Is(err, os.ErrNotExist) {
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	return func() { unlockRoot(f) }, nil
}

// unlockRoot gives the lock up. Closing alone would leave it to a child of this
// process that was forked and has not executed its program yet.
func unlockRoot(f *os.File) {
	unix.Flock(int(f.Fd()), unix.LOCK_UN) //nolint:errcheck // cannot fail on an open file
	f.Close()
}

// lockRoot takes an advisory lock that the kernel drops with the process. The
// databases have locks of their own, but wait for them in silence.
func lockRoot(root string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock container runtime: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("container runtime directory %s: %w", root, ErrInUse)
		}
		return nil, fmt.Errorf("lock container runtime directory %s: %w", root, err)
	}
	return f, nil
}
