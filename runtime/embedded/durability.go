package embedded

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// # What is durable, and why not all of it
//
// containerd keeps everything it knows in two databases below Root: its own
// (images, content, snapshots, containers, sandboxes, leases), and the
// snapshotter's. Each pod is some twenty transactions, of two fdatasyncs each,
// one after another: most of a pod's start on slow flash, and its wear. But of
// what they record only images outlive the machine's uptime. No container
// survives a power cut, and its records are of use to nobody then.
//
// So the databases are not synced. A killed process loses nothing by that, since
// what was written is the kernel's. For the machine going down there is a
// checkpoint: after images have changed, both databases are copied, together with
// a sync of all that images consist of, which is more than containerd does itself
// for unpacked layers. A marker names the boot in which the databases are in use.
// A start that finds the marker of another boot does not trust them, whether or
// not they look sound, and goes back to the checkpoint: images are there,
// containers are not, and the node agent starts its pods anew as after any reboot.
//
//	              start            images change        stop
//	marker        this boot        this boot            none
//	databases     in use           in use               synced
//	checkpoint    (any)            replaced             (any)
//
// Whatever is in doubt errs to the older state: an image may have to be pulled or
// imported again.
type durability struct {
	root string
	boot string
	log  *slog.Logger
	// stale is set by open if images may have changed since the checkpoint.
	stale bool
	// restored is set by open if it went back to a checkpoint, so that there may
	// be snapshots on disk that are not in the database.
	restored bool
}

// The files, below Root. The snapshotter's database is there if it is overlayfs;
// another one syncs its own, and is left alone.
const (
	markerFile     = "unsynced"
	checkpointDir  = "checkpoint"
	metadataDB     = "io.containerd.metadata.v1.bolt/meta.db"
	snapshotterDB  = "io.containerd.snapshotter.v1.overlayfs/metadata.db"
	checkpointMeta = "meta.db"
	checkpointSnap = "metadata.db"
)

const bootIDFile = "/proc/sys/kernel/random/boot_id"

func newDurability(root string, log *slog.Logger) (*durability, error) {
	b, err := os.ReadFile(bootIDFile)
	if err != nil {
		return nil, fmt.Errorf("read the machine's boot ID: %w", err)
	}
	return &durability{root: root, boot: strings.TrimSpace(string(b)), log: log}, nil
}

func (d *durability) path(elem string) string { return filepath.Join(d.root, elem) }

// open makes the databases fit for use, and marks them as in use by this boot. It
// is called before they are opened.
func (d *durability) open() error {
	marker, err := os.ReadFile(d.path(markerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("container runtime databases: %w", err)
	}
	last := strings.TrimSpace(string(marker))
	if _, err := os.Stat(d.path(checkpointDir)); err != nil {
		d.stale = true
	}
	if last == d.boot {
		// The process before was killed, perhaps before it saved a change.
		d.stale = true
		return nil
	}
	if last != "" {
		if err := d.restore(); err != nil {
			return fmt.Errorf("restore container runtime databases: %w", err)
		}
		d.restored = true
	}
	if err := writeSynced(d.path(markerFile), strings.NewReader(d.boot+"\n")); err != nil {
		return fmt.Errorf("container runtime databases: %w", err)
	}
	return nil
}

// restore puts the checkpoint in place of the databases, or nothing if there is
// none.
func (d *durability) restore() error {
	at, err := os.Stat(d.path(checkpointDir))
	switch {
	case err == nil:
		d.log.Warn("the machine went down beside the container runtime: going back to the images as they were saved last",
			"saved", at.ModTime().Format(time.RFC3339))
	case errors.Is(err, fs.ErrNotExist):
		d.log.Warn("the machine went down beside the container runtime before its images were saved: they have to be imported or pulled again")
	default:
		return err
	}
	for saved, live := range map[string]string{checkpointMeta: metadataDB, checkpointSnap: snapshotterDB} {
		src, err := os.Open(filepath.Join(d.path(checkpointDir), saved))
		if errors.Is(err, fs.ErrNotExist) {
			if err := removeFile(d.path(live)); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		err = writeSynced(d.path(live), src)
		src.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// close makes the databases durable. It is called after they are closed.
func (d *durability) close() error {
	for _, db := range []string{metadataDB, snapshotterDB} {
		if err := syncFile(d.path(db)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("sync container runtime databases: %w", err)
		}
	}
	if err := removeFile(d.path(markerFile)); err != nil {
		return fmt.Errorf("container runtime databases: %w", err)
	}
	return syncFile(d.root)
}

// copier writes a consistent copy of a database.
type copier func(io.Writer) error

// checkpoint saves the databases. The metadata comes first: each snapshot that it
// names was made before in the snapshotter. The new checkpoint takes the place of
// the old one in one step.
func (d *durability) checkpoint(meta, snapshots copier) error {
	if err := syncTree(d.root); err != nil {
		return fmt.Errorf("sync images: %w", err)
	}
	next := d.path(checkpointDir + ".new")
	if err := os.RemoveAll(next); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := os.Mkdir(next, 0o700); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	for _, f := range []struct {
		name string
		copy copier
	}{{checkpointMeta, meta}, {checkpointSnap, snapshots}} {
		if f.copy == nil {
			continue
		}
		if err := createSynced(filepath.Join(next, f.name), f.copy); err != nil {
			return fmt.Errorf("checkpoint: %w", err)
		}
	}
	if err := syncFile(next); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	current := d.path(checkpointDir)
	err := unix.Renameat2(unix.AT_FDCWD, next, unix.AT_FDCWD, current, unix.RENAME_EXCHANGE)
	if errors.Is(err, unix.ENOENT) {
		err = os.Rename(next, current)
	}
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	if err := syncFile(d.root); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return os.RemoveAll(next) // the old one by now
}

// quiet is how long images have to be unchanged before they are saved, so that
// one import or pull is one checkpoint, and longest how long they may go on
// changing.
const (
	quiet   = time.Second
	longest = 30 * time.Second
)

// keep saves a checkpoint after each burst of changes, until ctx ends, and then
// what is not saved yet.
func (d *durability) keep(ctx context.Context, changes <-chan struct{}, save func() error) {
	var settled, overdue <-chan time.Time
	for done := false; !done; {
		select {
		case <-ctx.Done():
			if overdue == nil {
				return
			}
			done = true
		case <-changes:
			settled = time.After(quiet)
			if overdue == nil {
				overdue = time.After(longest)
			}
			continue
		case <-settled:
		case <-overdue:
		}
		settled, overdue = nil, nil
		if err := save(); err != nil {
			d.log.Warn("cannot save the state of images; after a power cut they may have to be pulled again", "err", err)
		}
	}
}

// writeSynced replaces a file with what r gives, durably.
func writeSynced(path string, r io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o711); err != nil {
		return err
	}
	tmp := path + ".tmp"
	if err := createSynced(tmp, func(w io.Writer) error {
		_, err := io.Copy(w, r)
		return err
	}); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

func createSynced(path string, write copier) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Sync(), f.Close())
}

// syncFile syncs a file or a directory.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// syncTree syncs the file system that a directory is on.
func syncTree(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(f.Fd())), f.Close())
}

func removeFile(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
