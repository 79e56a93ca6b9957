package resize

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/types"

	"proa/node/cri"
	"proa/node/durable"
)

// Record is what the agent remembers of a pod that was resized.
type Record struct {
	Granted Granted `json:"granted"`
	Given   Granted `json:"given"`
}

// Records are the records of pods, each in its pod's directory, with which it goes.
type Records struct {
	// Root is the agent's.
	Root string
}

func (r Records) path(uid types.UID) string {
	return filepath.Join(cri.PodDir(r.Root, uid), "resources")
}

// Read returns a pod's record, or nil if it has none.
func (r Records) Read(uid types.UID) (*Record, error) {
	b, err := os.ReadFile(r.path(uid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := new(Record)
	if err := json.Unmarshal(b, out); err != nil {
		return nil, err
	}
	return out, nil
}

// Write replaces a pod's record, durably.
func (r Records) Write(uid types.UID, rec Record) error { return durable.Write(r.path(uid), rec) }
