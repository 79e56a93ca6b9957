package managed

import (
	"bytes"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// maxSets bounds the memory of parsed sets.
const maxSets = 2048

// sets remembers what encoded field sets mean. Objects of one kind that were
// made by one manager have the same few. Sets are never changed.
type sets struct {
	mu     sync.RWMutex
	parsed map[string]*fieldpath.Set
}

// parse returns the set of an entry.
func (s *sets) parse(e *metav1.ManagedFieldsEntry) (*fieldpath.Set, error) {
	raw := e.FieldsV1.GetRawBytes()
	s.mu.RLock()
	set := s.parsed[string(raw)]
	s.mu.RUnlock()
	if set != nil {
		return set, nil
	}
	set = &fieldpath.Set{}
	if len(raw) > 0 {
		if err := set.FromJSON(bytes.NewReader(raw)); err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.parsed == nil || len(s.parsed) >= maxSets {
		// Starting over is simple, and rare: there are few distinct sets.
		s.parsed = map[string]*fieldpath.Set{}
	}
	s.parsed[string(raw)] = set
	return set, nil
}

func encodeSet(s *fieldpath.Set) (*metav1.FieldsV1, error) {
	raw, err := s.ToJSON()
	if err != nil {
		return nil, err
	}
	return &metav1.FieldsV1{Raw: raw}, nil
}
