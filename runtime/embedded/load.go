package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/sirupsen/logrus"
)

// loading serialises starts: the plugin registry hands every caller the same
// configuration values to decode into. It guards containerd's process-wide
// state, not ours.
var loading sync.Mutex

// searchPath puts dir first on the process's PATH until restore is called.
//
// containerd finds a shim by its runtime's name on PATH, and remembers where. A
// path could be configured instead, but it is not recorded for the containers
// that share their pod's shim, and a restarted containerd would not find their
// runtime again. All look-ups happen while the plugins load; afterwards, and in
// what the process executes itself, PATH is as it was.
func searchPath(dir string) (restore func(), err error) {
	const key = "PATH"
	old, had := os.LookupEnv(key)
	if err := os.Setenv(key, dir+string(os.PathListSeparator)+old); err != nil {
		return nil, fmt.Errorf("make shims known to containerd: %w", err)
	}
	return func() {
		if had {
			os.Setenv(key, old)
		} else {
			os.Unsetenv(key)
		}
	}, nil
}

// load initialises the plugins in order. It returns the set with whatever was
// initialised even when it fails, so that the caller can close it. ready is
// done when the plugins that finish in the background have finished.
func load(ctx context.Context, c Config, p probed, entry *logrus.Entry, restored bool, overlayDB **storage.MetaStore) (set *plugin.Set, ready *sync.WaitGroup, err error) {
	loading.Lock()
	defer loading.Unlock()

	restore, err := searchPath(c.BinDir)
	if err != nil {
		return plugin.NewPluginSet(), new(sync.WaitGroup), err
	}
	defer restore()

	// Parts of containerd log through the package variable, whatever context
	// they have.
	log.L = entry
	ctx = log.WithLogger(ctx, entry)

	set, ready = plugin.NewPluginSet(), new(sync.WaitGroup)
	conf := srvconfig.Config{Plugins: settings(c, p)}
	for _, reg := range graph(p.snapshotter, overlayPlugin(overlayDB, restored), sandboxerPlugin(c)) {
		uri := reg.URI()
		ic := plugin.NewContext(ctx, set, map[string]string{
			plugins.PropertyRootDir:      filepath.Join(c.Root, uri),
			plugins.PropertyStateDir:     filepath.Join(c.State, uri),
			plugins.PropertyGRPCAddress:  c.Socket,
			plugins.PropertyTTRPCAddress: c.ttrpcSocket(),
		})
		ic.RegisterReadiness = func() func() {
			ready.Add(1)
			return sync.OnceFunc(ready.Done)
		}
		if reg.Config != nil {
			ic.Config, err = conf.Decode(ctx, uri, reg.Config)
			if err != nil {
				return set, ready, fmt.Errorf("settings of containerd plugin %s: %w", uri, err)
			}
		}
		began := time.Now()
		if err := set.Add(reg.Init(ic)); err != nil {
			return set, ready, fmt.Errorf("containerd plugin %s: %w", uri, err)
		}
		c.Logger.Debug("containerd plugin loaded", "plugin", uri, "took", time.Since(began))
	}
	return set, ready, checkRequired(set, c.Logger)
}
