package etcd

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// childDir is the variable by which TestKilledWriter tells a copy of this
// program where to write until it is killed.
const childDir = "PROA_TEST_ETCD_DIR"

// TestChildWrites is the child of TestKilledWriter, and otherwise nothing.
func TestChildWrites(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		t.Skip("is run by TestKilledWriter")
	}
	s, err := Open(t.Context(), Options{Dir: dir, CompactInterval: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var out sync.Mutex
	for w := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				key := fmt.Sprintf("/registry/%d/%d/%d", os.Getpid(), w, i)
				kv, err := s.Create(t.Context(), key, []byte(strings.Repeat("x", 500)), 0)
				if err != nil {
					t.Error(err)
					return
				}
				out.Lock()
				fmt.Printf("ack %s %d\n", key, kv.ModRevision)
				out.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestKilledWriter kills a process in the midst of its writes, again and
// again, and requires all that it was told is written.
func TestKilledWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	acked := map[string]int64{}
	for round := range 5 {
		child := exec.Command(os.Args[0], "-test.run=^TestChildWrites$")
		child.Env = append(os.Environ(), childDir+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < 20+13*round && lines.Scan(); {
			var key string
			var rev int64
			if got, _ := fmt.Sscanf(lines.Text(), "ack %s %d", &key, &rev); got == 2 {
				acked[key] = rev
				n++
			}
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
	}
	if len(acked) < 100 {
		t.Fatalf("only %d writes were acknowledged", len(acked))
	}
	s := open(t, Options{Dir: dir})
	for key, rev := range acked {
		if kv, _, err := s.Get(t.Context(), key); err != nil || kv.ModRevision != rev {
			t.Errorf("%s, acknowledged at %d: %+v, %v", key, rev, kv, err)
		}
	}
}
