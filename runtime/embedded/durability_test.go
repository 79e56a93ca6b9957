package embedded

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// disk is a Root with files in place of databases.
type disk struct {
	t    *testing.T
	root string
}

func newDisk(t *testing.T) disk {
	d := disk{t, t.TempDir()}
	d.write(metadataDB, "meta 0")
	d.write(snapshotterDB, "snap 0")
	return d
}

func (d disk) write(name, content string) {
	d.t.Helper()
	path := filepath.Join(d.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d disk) read(name string) string {
	b, err := os.ReadFile(filepath.Join(d.root, name))
	if err != nil {
		return "(none)"
	}
	return string(b)
}

// start opens the databases in the given boot.
func (d disk) start(boot string) *durability {
	d.t.Helper()
	du := &durability{root: d.root, boot: boot, log: slog.New(slog.DiscardHandler)}
	if err := du.open(); err != nil {
		d.t.Fatal(err)
	}
	return du
}

// save makes a checkpoint of the databases as they are.
func (d disk) save(du *durability) {
	d.t.Helper()
	copyOf := func(name string) copier {
		return func(w io.Writer) error {
			_, err := io.WriteString(w, d.read(name))
			return err
		}
	}
	if err := du.checkpoint(copyOf(metadataDB), copyOf(snapshotterDB)); err != nil {
		d.t.Fatal(err)
	}
}

func (d disk) expect(when, meta, snap string) {
	d.t.Helper()
	if m, s := d.read(metadataDB), d.read(snapshotterDB); m != meta || s != snap {
		d.t.Errorf("%s: %q and %q, want %q and %q", when, m, s, meta, snap)
	}
}

// A killed process leaves what it wrote; a machine that went down leaves what was
// saved, and a process that stopped properly leaves everything.
func TestDurability(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	du := d.start("one")
	if !du.stale {
		t.Error("without a checkpoint there is nothing that could be up to date")
	}
	d.save(du)
	d.write(metadataDB, "meta 1")
	d.write(snapshotterDB, "snap 1")

	du = d.start("one")
	d.expect("after a kill", "meta 1", "snap 1")
	if !du.stale {
		t.Error("a killed process may not have saved its last change")
	}

	d.start("two")
	d.expect("after a power cut", "meta 0", "snap 0")

	d.write(metadataDB, "meta 2")
	du = d.start("two")
	d.save(du)
	d.write(metadataDB, "meta 3")
	if err := du.close(); err != nil {
		t.Fatal(err)
	}
	du = d.start("three")
	d.expect("after a proper stop and a reboot", "meta 3", "snap 0")
	if du.stale {
		t.Error("after a proper stop the checkpoint is up to date")
	}
	d.start("four")
	d.expect("after another power cut", "meta 2", "snap 0")
}

// Without a checkpoint a power cut leaves no databases rather than doubtful ones.
func TestDurabilityWithoutCheckpoint(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	d.start("one")
	d.start("two")
	d.expect("after a power cut", "(none)", "(none)")
}

// A power cut at any point of a checkpoint leaves the old one or the new one.
func TestCheckpointIsAtomic(t *testing.T) {
	t.Parallel()
	d := newDisk(t)
	du := d.start("one")
	d.save(du)
	d.write(metadataDB, "meta 1")
	failing := func(io.Writer) error { return io.ErrShortWrite }
	for _, copies := range [][2]copier{{failing, failing}, {func(io.Writer) error { return nil }, failing}} {
		if err := du.checkpoint(copies[0], copies[1]); err == nil {
			t.Error("a failed copy was not reported")
		}
	}
	d.start("two")
	d.expect("after failed checkpoints", "meta 0", "snap 0")
	d.write(metadataDB, "meta 2")
	d.save(d.start("two"))
	d.start("three")
	d.expect("after one that worked", "meta 2", "snap 0")
	if left, _ := filepath.Glob(filepath.Join(d.root, checkpointDir+".*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// Many changes are one checkpoint, unless they go on for long; a change right
// before the end is not forgotten.
func TestKeep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		changes := make(chan struct{})
		saved := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			(&durability{log: slog.New(slog.DiscardHandler)}).keep(ctx, changes, func() error { saved++; return nil })
		}()
		for range 10 {
			changes <- struct{}{}
			time.Sleep(quiet / 2)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if saved != 1 {
			t.Errorf("a burst was saved %d times", saved)
		}
		for range int(2*longest/quiet) * 2 {
			changes <- struct{}{}
			time.Sleep(quiet / 2)
		}
		synctest.Wait()
		if saved < 2 || saved > 3 {
			t.Errorf("changes that go on for %v were saved %d times", 2*longest, saved-1)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		before := saved
		changes <- struct{}{}
		cancel()
		<-done
		if saved != before+1 {
			t.Errorf("the last change was saved %d times", saved-before)
		}
	})
}
