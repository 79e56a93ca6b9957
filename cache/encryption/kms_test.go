package encryption_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apiserver/pkg/storage/value"
	"k8s.io/kms/pkg/service"

	"proa/cache/encryption"
)

var fixed = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// keeper is a plugin: it "encrypts" by turning bytes over, under a key that has a
// name, and only decrypts under that name.
type keeper struct {
	key       atomic.Pointer[string]
	ill       atomic.Bool
	decrypted atomic.Int64
}

func newKeeper(key string) *keeper {
	k := &keeper{}
	k.key.Store(&key)
	return k
}

const note = "note.example.com"

func turn(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = b[i] ^ 0xff
	}
	return out
}

func (k *keeper) Status(context.Context) (*service.StatusResponse, error) {
	health := "ok"
	if k.ill.Load() {
		health = "ill"
	}
	return &service.StatusResponse{Version: "v2", Healthz: health, KeyID: *k.key.Load()}, nil
}

func (k *keeper) Encrypt(_ context.Context, _ string, data []byte) (*service.EncryptResponse, error) {
	key := *k.key.Load()
	return &service.EncryptResponse{Ciphertext: turn(data), KeyID: key, Annotations: map[string][]byte{note: []byte(key)}}, nil
}

func (k *keeper) Decrypt(_ context.Context, _ string, r *service.DecryptRequest) ([]byte, error) {
	k.decrypted.Add(1)
	if string(r.Annotations[note]) != r.KeyID {
		return nil, errors.New("the note was lost")
	}
	return turn(r.Ciphertext), nil
}

// listen serves the plugin on a socket.
func (k *keeper) listen(t *testing.T) string {
	t.Helper()
	socket := filepath.Join(t.TempDir(), "s")
	s := service.NewGRPCService(socket, time.Second, k)
	var running sync.WaitGroup
	running.Go(func() { _ = s.ListenAndServe() })
	t.Cleanup(func() { s.Close(); running.Wait() })
	return socket
}

func kmsConfig(name, socket string) string {
	return config("secrets: identity") + fmt.Sprintf("  - kms: {apiVersion: v2, name: %s, endpoint: 'unix://%s', timeout: 10s}\n", name, socket)
}

// first puts the plugin before identity.
func first(c string) string {
	return strings.Replace(strings.Replace(c, "  - identity: {}\n", "", 1), "  providers:\n", "  providers:\n", 1) + "  - identity: {}\n"
}

// Both ends over a real socket: what one writes the other reads, and a new key of
// the plugin makes old values stale for both.
func TestKMSSameAsUpstream(t *testing.T) {
	t.Parallel()
	k := newKeeper("one")
	c := first(kmsConfig("shared", k.listen(t)))
	e, theirs := open(t, c), other(t, c)
	ours := of(e, "", "secrets")
	ctx := value.DefaultContext(objectKey)
	byUs, err := ours.ToStore(t.Context(), objectKey, []byte("secret"))
	if err != nil || !strings.HasPrefix(string(byUs), "k8s:enc:kms:v2:shared:") {
		t.Fatalf("%.40q, %v", byUs, err)
	}
	byThem, err := theirs("", "secrets").TransformToStorage(t.Context(), []byte("secret"), ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got, stale, err := ours.FromStore(t.Context(), objectKey, byThem); err != nil || stale || string(got) != "secret" {
			t.Errorf("%q, %t, %v", got, stale, err)
		}
	}
	if n := k.decrypted.Load(); n != 1 {
		t.Errorf("the plugin was asked %d times for one seed", n)
	}
	if got, stale, err := theirs("", "secrets").TransformFromStorage(t.Context(), byUs, ctx); err != nil || stale || string(got) != "secret" {
		t.Errorf("%q, %t, %v", got, stale, err)
	}
	if _, _, err := ours.FromStore(t.Context(), "/registry/x/ns/other", byUs); err == nil {
		t.Error("a value was read under the key of another")
	}
	if err := e.Check(nil); err != nil {
		t.Error(err)
	}
	two := "two"
	k.key.Store(&two)
	e, theirs = open(t, c), other(t, c)
	for _, stored := range [][]byte{byUs, byThem} {
		got, stale, err := of(e, "", "secrets").FromStore(t.Context(), objectKey, stored)
		_, wantStale, wantErr := theirs("", "secrets").TransformFromStorage(t.Context(), stored, ctx)
		if err != nil || !stale || !wantStale || wantErr != nil || string(got) != "secret" {
			t.Errorf("%q, %t, %v; upstream: %t, %v", got, stale, err, wantStale, wantErr)
		}
	}
}

// A plugin that is not there makes the server ill, not stop; writing fails, and
// works once the plugin runs.
func TestKMSComesLater(t *testing.T) {
	t.Parallel()
	k := newKeeper("one")
	socket := filepath.Join(t.TempDir(), "s")
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	write(t, path, strings.Replace(first(kmsConfig("late", socket)), "10s", "20ms", 1))
	e, err := encryption.Open(t.Context(), encryption.Options{Path: path, Reload: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	if err := e.Check(nil); err == nil || !strings.Contains(err.Error(), `KMS plugin "late"`) {
		t.Errorf("health: %v", err)
	}
	tr := of(e, "", "secrets")
	if _, err := tr.ToStore(t.Context(), objectKey, []byte("x")); err == nil {
		t.Error("a value was written without a key")
	}
	if got, stale, err := tr.FromStore(t.Context(), objectKey, []byte("k8s\x00")); err != nil || !stale || string(got) != "k8s\x00" {
		t.Errorf("in the clear: %q, %t, %v", got, stale, err)
	}
	changed := make(chan struct{}, 10)
	e.Notify(func() { changed <- struct{}{} })
	write(t, path, first(kmsConfig("late", k.listen(t))))
	<-changed
	if err := e.Check(nil); err != nil {
		t.Error(err)
	}
	if _, err := tr.ToStore(t.Context(), objectKey, []byte("x")); err != nil {
		t.Error(err)
	}
}

// While the plugin is ill its seed goes on for three minutes for writing, and
// beyond for reading; when it is well again all is as before, and a new key is
// taken up.
func TestKMSIllness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper("one")
		recovered := 0
		e := encryption.WithPlugin(t.Context(), "k", k, func() { recovered++ })
		tr := of(e, "", "secrets")
		stored, err := tr.ToStore(t.Context(), objectKey, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		k.ill.Store(true)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if e.Check(nil) == nil {
			t.Error("it is ill, and nobody says so")
		}
		if _, err := tr.ToStore(t.Context(), objectKey, []byte("x")); err != nil {
			t.Error("after two minutes:", err)
		}
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		if _, err := tr.ToStore(t.Context(), objectKey, []byte("x")); err == nil {
			t.Error("it is written with a seed that expired")
		}
		if _, _, err := tr.FromStore(t.Context(), objectKey, stored); err != nil {
			t.Error(err)
		}
		two := "two"
		k.key.Store(&two)
		k.ill.Store(false)
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if err := e.Check(nil); err != nil || recovered != 1 {
			t.Error(recovered, err)
		}
		if _, err := tr.ToStore(t.Context(), objectKey, []byte("x")); err != nil {
			t.Error(err)
		}
		if _, stale, err := tr.FromStore(t.Context(), objectKey, stored); err != nil || !stale {
			t.Errorf("the key has changed: %t, %v", stale, err)
		}
		e.Close()
	})
}
