package cluster

import (
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
)

func TestLock(t *testing.T) {
	t.Parallel()
	c := &Config{DataDir: t.TempDir()}
	if pid, err := Running(c); pid != 0 || err != nil {
		t.Fatalf("nothing runs: %d %v", pid, err)
	}
	l, err := AcquireLock(c)
	if err != nil {
		t.Fatal(err)
	}
	if pid, err := Running(c); pid != os.Getpid() || err != nil {
		t.Errorf("running: %d %v", pid, err)
	}
	if _, err := AcquireLock(c); err == nil || !strings.Contains(err.Error(), "stop that cluster with \"proa down\"") {
		t.Errorf("locked twice: %v", err)
	}
	l.Release()
	if pid, err := Running(c); pid != 0 || err != nil {
		t.Errorf("after the end: %d %v", pid, err)
	}
}

// Between taking the lock and writing the process id, the id in the file is a
// former owner's, whom nobody must stop.
func TestFormerOwnerIsNotNamed(t *testing.T) {
	t.Parallel()
	c := &Config{DataDir: t.TempDir()}
	if err := os.WriteFile(c.LockFile(), []byte("1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(c.LockFile(), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := lockByte(f, ownerByte); err != nil {
		t.Fatal(err)
	}
	if pid, err := Running(c); pid != 0 || !errors.Is(err, errStarting) {
		t.Errorf("got %d %v", pid, err)
	}
	if _, err := AcquireLock(c); err == nil || strings.Contains(err.Error(), "process 1") {
		t.Errorf("got %v", err)
	}
}

// Whoever looks does not keep anybody from starting.
func TestLookingDisturbsNobody(t *testing.T) {
	t.Parallel()
	c := &Config{DataDir: t.TempDir()}
	stop := make(chan struct{})
	var looking sync.WaitGroup
	for range 4 {
		looking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if pid, err := Running(c); err != nil && !errors.Is(err, errStarting) || pid != 0 && pid != os.Getpid() {
					t.Errorf("running: %d %v", pid, err)
					return
				}
			}
		})
	}
	for range 500 {
		l, err := AcquireLock(c)
		if err != nil {
			t.Error(err)
			break
		}
		l.Release()
	}
	close(stop)
	looking.Wait()
}
