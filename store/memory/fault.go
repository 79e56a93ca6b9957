package memory

import (
	"context"
	"slices"
	"sync"
	"time"

	"proa/store"
)

// OpKind names an operation of the store.
type OpKind string

// The operations that faults can meet.
const (
	OpGet      OpKind = "get"
	OpList     OpKind = "list"
	OpCreate   OpKind = "create"
	OpUpdate   OpKind = "update"
	OpDelete   OpKind = "delete"
	OpWatch    OpKind = "watch"
	OpRevision OpKind = "revision"
	OpCompact  OpKind = "compact"
)

// Writes are the operations that change keys.
var Writes = []OpKind{OpCreate, OpUpdate, OpDelete}

// Op is an operation about to be made.
type Op struct {
	// N counts the operations of this store, from 1.
	N    int
	Kind OpKind
	// Key, or the prefix of a List or Watch.
	Key string
}

// Fault is what happens to an operation. The zero Fault lets it pass.
type Fault struct {
	// Delay passes before the operation.
	Delay time.Duration
	// Err is returned in place of the operation's result.
	Err error
	// Applied: the operation is made all the same, and only its result is
	// lost. With Err set to store.ErrUncertain this is a write whose answer
	// did not arrive.
	Applied bool
}

// FailNth returns a fault function which lets n operations of the given kinds
// (all kinds if none is given) pass, and gives the next one the fault. Raising
// n from 0 until nothing fails any more visits every operation of a program.
func FailNth(n int, f Fault, kinds ...OpKind) func(Op) Fault {
	var mu sync.Mutex
	return func(op Op) Fault {
		if len(kinds) > 0 && !slices.Contains(kinds, op.Kind) {
			return Fault{}
		}
		mu.Lock()
		defer mu.Unlock()
		n--
		if n == -1 {
			return f
		}
		return Fault{}
	}
}

// fault asks Options.Fault what happens to an operation, and waits out its
// delay. A non-nil error with applied unset means that the operation must not
// be made.
func (s *Store) fault(ctx context.Context, kind OpKind, key string) (applied bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false, store.ErrClosed
	}
	s.ops++
	op := Op{N: s.ops, Kind: kind, Key: key}
	decide := s.decide
	s.mu.Unlock()
	if decide == nil {
		return false, nil
	}
	f := decide(op)
	if f.Delay > 0 {
		t := time.NewTimer(f.Delay)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return f.Applied, f.Err
}

// SetFault replaces Options.Fault; nil ends all faults.
func (s *Store) SetFault(decide func(Op) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.decide = decide
}
