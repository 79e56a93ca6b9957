package embedded

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"time"

	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/log"
	"github.com/containerd/plugin"
	"github.com/pelletier/go-toml/v2"
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

	logEverywhere(entry)
	ctx = log.WithLogger(ctx, entry)

	set, ready = plugin.NewPluginSet(), new(sync.WaitGroup)
	conf := srvconfig.Config{Plugins: settings(c, p)}
	shims := newShims(c)
	for _, reg := range graph(p.snapshotter, overlayPlugin(overlayDB, restored), sandboxerPlugin(c, shims)) {
		if reg.URI() == taskPluginURI {
			reg = heldTasks(reg, shims)
		}
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
			ic.Config, err = configOf(reg, conf.Plugins[uri])
			if err == nil {
				ic.Config, err = conf.Decode(ctx, uri, ic.Config)
			}
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

// configOf returns the configuration value that a plugin's settings are to be
// decoded into. The registry has one value per plugin, with maps that a runtime
// started before goes on reading, so a copy is made where there are settings. The
// plugin of CRI's images looks at its own value whatever it is given; it copies
// it, all but the maps, so those are replaced in place.
func configOf(reg plugin.Registration, settings any) (any, error) {
	if settings == nil {
		return reg.Config, nil
	}
	if reg.URI() == criImagesPluginURI {
		dropMaps(reflect.ValueOf(reg.Config).Elem())
		return reg.Config, nil
	}
	b, err := toml.Marshal(reg.Config)
	if err != nil {
		return nil, fmt.Errorf("copy defaults: %w", err)
	}
	fresh := reflect.New(reflect.TypeOf(reg.Config).Elem()).Interface()
	if err := toml.Unmarshal(b, fresh); err != nil {
		return nil, fmt.Errorf("copy defaults: %w", err)
	}
	return fresh, nil
}

// dropMaps sets every map in a struct to nil.
func dropMaps(v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Map:
			f.SetZero()
		case reflect.Struct:
			dropMaps(f)
		}
	}
}
