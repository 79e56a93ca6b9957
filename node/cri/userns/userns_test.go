package userns

import (
	"os"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func pod(uid types.UID, host *bool) *corev1.Pod {
	p := &corev1.Pod{}
	p.UID, p.Spec.HostUsers = uid, host
	return p
}

func TestRangesAreKeptAcrossRestartsAndGivenBack(t *testing.T) {
	t.Parallel()
	root, no, yes := t.TempDir(), false, true
	a, err := New(root, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	get := func(a *Allocator, uid types.UID) uint32 {
		t.Helper()
		u, err := a.Ensure(pod(uid, &no))
		if err != nil || u.Mode != runtimeapi.NamespaceMode_POD || u.Uids[0].Length != 65536 || u.Uids[0].HostId != u.Gids[0].HostId {
			t.Fatalf("%v %v", u, err)
		}
		return u.Uids[0].HostId
	}
	one, two := get(a, "one"), get(a, "two")
	if one == two || one < 65536 || two < 65536 || get(a, "one") != one {
		t.Errorf("%d %d", one, two)
	}
	if _, err := a.Ensure(pod("three", &no)); err == nil {
		t.Error("a third of two")
	}
	// A killed agent finds them again.
	b, err := New(root, 3, nil)
	if err != nil || get(b, "two") != two || get(b, "three") == one {
		t.Errorf("%v", err)
	}
	b.Release("one")
	b.Release("never")
	if got := get(b, "four"); got != one {
		t.Errorf("%d was not given back: %d", one, got)
	}
	for _, h := range []*bool{nil, &yes} {
		if u, err := b.Ensure(pod("host", h)); err != nil || u != nil && u.Mode != runtimeapi.NamespaceMode_NODE {
			t.Errorf("%v %v", u, err)
		}
	}
}

// k/k 84783, 135711: a corrupt checkpoint never stops the node agent.
func TestACorruptRecordIsSkipped(t *testing.T) {
	t.Parallel()
	root, no := t.TempDir(), false
	for uid, text := range map[string]string{"a": "", "b": "{", "c": `{"uidMappings":[{"hostId":0,"length":65536}],"gidMappings":[{"hostId":0,"length":65536}]}`, "d": "\x00\x00"} {
		if err := os.MkdirAll(filepath.Join(root, "pods", uid), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, "pods", uid, "userns"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a, err := New(root, 10, nil)
	if err != nil || len(a.used) != 0 {
		t.Fatalf("%v %v", a, err)
	}
	if u, err := a.Ensure(pod("a", &no)); err != nil || u.Uids[0].HostId < 65536 {
		t.Errorf("%v %v", u, err)
	}
}
