package embedded

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	bolt "go.etcd.io/bbolt"
)

// overlayPlugin is containerd's overlayfs snapshotter with a database that is not
// synced, which containerd's own plugin cannot be told. db receives the database.
// With restored, directories that the database does not know are removed first:
// it will give their numbers to others.
func overlayPlugin(db **storage.MetaStore, restored bool) plugin.Registration {
	return plugin.Registration{
		Type: plugins.SnapshotPlugin,
		ID:   snapshotterOverlay,
		InitFn: func(ic *plugin.InitContext) (any, error) {
			root := ic.Properties[plugins.PropertyRootDir]
			ms, err := storage.NewMetaStore(filepath.Join(root, filepath.Base(snapshotterDB)), func(o *bolt.Options) error {
				o.NoSync, o.NoGrowSync = true, true
				return nil
			})
			if err != nil {
				return nil, err
			}
			opts := []overlay.Opt{overlay.AsynchronousRemove, overlay.WithMetaStore(ms)}
			// What CRI asks about before it accepts a pod with a user namespace.
			ic.Meta.Capabilities = append(ic.Meta.Capabilities, "only-remap-ids", "rebase")
			if ok, err := overlayutils.SupportsIDMappedMounts(); err == nil && ok {
				opts = append(opts, overlay.WithRemapIDs)
				ic.Meta.Capabilities = append(ic.Meta.Capabilities, "remap-ids")
			}
			ic.Meta.Platforms = append(ic.Meta.Platforms, platforms.DefaultSpec())
			ic.Meta.Exports[plugins.SnapshotterRootDir] = root
			*db = ms
			sn, err := overlay.NewSnapshotter(root, opts...)
			if err != nil || !restored {
				return sn, err
			}
			if c, ok := sn.(snapshots.Cleaner); ok {
				if err := c.Cleanup(ic.Context); err != nil {
					return nil, fmt.Errorf("remove snapshots from before the machine went down: %w", err)
				}
			}
			return sn, nil
		},
	}
}

// copyMetaStore writes a consistent copy of a snapshotter's database.
func copyMetaStore(ctx context.Context, ms *storage.MetaStore, w io.Writer) error {
	_, t, err := ms.TransactionContext(ctx, false)
	if err != nil {
		return err
	}
	defer t.Rollback() //nolint:errcheck // nothing was changed
	tx, ok := t.(*bolt.Tx)
	if !ok {
		return fmt.Errorf("the snapshotter's transaction is a %T", t)
	}
	_, err = tx.WriteTo(w)
	return err
}
