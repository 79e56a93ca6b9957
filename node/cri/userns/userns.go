// Package userns gives each pod with hostUsers: false a range of user and group
// IDs of its own, so that root in the pod is nobody on the node and pods cannot
// pass for one another.
//
// The ranges are 65536 IDs each, the host's own first range left out. A pod's
// range is written into its directory, in upstream's form, before it is used:
// an agent that was killed finds it there, and it goes with the directory.
package userns

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/cri"
	"proa/node/durable"
)

const (
	// Length of a range, and where the first begins: the IDs below are the
	// host's.
	Length = 1 << 16
	first  = Length
	file   = "userns"
)

// Allocator hands out ranges. Safe for concurrent use.
type Allocator struct {
	root string
	max  int
	log  *slog.Logger

	mu   sync.Mutex
	used map[uint32]types.UID // by first host ID
	pods map[types.UID]uint32
}

// mapping and record are upstream's file format.
type mapping struct {
	HostID      uint32 `json:"hostId"`
	ContainerID uint32 `json:"containerId"`
	Length      uint32 `json:"length"`
}

type record struct {
	UIDs []mapping `json:"uidMappings"`
	GIDs []mapping `json:"gidMappings"`
}

// New finds the ranges in use under the agent's root; at most max pods can have
// one. A record that cannot be read is reported and skipped: its pod gets
// another range with its next sandbox.
func New(root string, max int, log *slog.Logger) (*Allocator, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	a := &Allocator{root: root, max: max, log: log, used: map[uint32]types.UID{}, pods: map[types.UID]uint32{}}
	entries, err := os.ReadDir(filepath.Join(root, "pods"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		uid := types.UID(e.Name())
		id, err := a.read(uid)
		switch {
		case errors.Is(err, os.ErrNotExist):
		case err != nil:
			log.Warn("unreadable user namespace of a pod", "uid", uid, "err", err)
		case a.used[id] != "":
			log.Warn("two pods have one range of user IDs", "uid", uid, "other", a.used[id])
		default:
			a.used[id], a.pods[uid] = uid, id
		}
	}
	return a, nil
}

func (a *Allocator) path(uid types.UID) string { return filepath.Join(cri.PodDir(a.root, uid), file) }

func (a *Allocator) read(uid types.UID) (uint32, error) {
	b, err := os.ReadFile(a.path(uid))
	if err != nil {
		return 0, err
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		return 0, err
	}
	if len(r.UIDs) != 1 || len(r.GIDs) != 1 || r.UIDs[0] != r.GIDs[0] || r.UIDs[0].Length != Length ||
		r.UIDs[0].ContainerID != 0 || r.UIDs[0].HostID < first || r.UIDs[0].HostID%Length != 0 {
		return 0, fmt.Errorf("not a range of this agent's: %s", b)
	}
	return r.UIDs[0].HostID, nil
}

// Ensure returns the pod's user namespace: nil for a pod that says nothing of
// it, the node's for hostUsers: true, and one of its own for false.
func (a *Allocator) Ensure(pod *corev1.Pod) (*runtimeapi.UserNamespace, error) {
	switch h := pod.Spec.HostUsers; {
	case h == nil:
		return nil, nil
	case *h:
		return &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_NODE}, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	id, ok := a.pods[pod.UID]
	if !ok {
		var err error
		if id, err = a.free(); err != nil {
			return nil, err
		}
		if err := a.write(pod.UID, id); err != nil {
			return nil, fmt.Errorf("record the pod's user namespace: %w", err)
		}
		a.used[id], a.pods[pod.UID] = pod.UID, id
	}
	ids := []*runtimeapi.IDMapping{{HostId: id, ContainerId: 0, Length: Length}}
	return &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids}, nil
}

func (a *Allocator) free() (uint32, error) {
	for i := range a.max {
		id := uint32(first + i*Length)
		if _, taken := a.used[id]; !taken {
			return id, nil
		}
	}
	return 0, fmt.Errorf("all %d ranges of user IDs for pods are in use", a.max)
}

// write makes the record durable, its name in the directory too.
func (a *Allocator) write(uid types.UID, id uint32) error {
	m := []mapping{{HostID: id, Length: Length}}
	return durable.Write(a.path(uid), record{UIDs: m, GIDs: m})
}

// Release gives a range back once the pod's containers and directory are gone.
func (a *Allocator) Release(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id, ok := a.pods[uid]; ok {
		delete(a.used, id)
		delete(a.pods, uid)
	}
}
