package ipalloc

import (
	"context"
	"errors"
	"fmt"
	"math/big"

	corev1 "k8s.io/api/core/v1"

	"proa/cache"
	"proa/store"
)

// PortRange is a range of ports, both ends included.
type PortRange struct{ First, Last int32 }

// String writes a range as upstream stores it.
func (r PortRange) String() string { return fmt.Sprintf("%d-%d", r.First, r.Last) }

func (r PortRange) size() uint64             { return uint64(r.Last-r.First) + 1 }
func (r PortRange) contains(port int32) bool { return port >= r.First && port <= r.Last }

// portsName is the name of the object that holds the taken node ports.
const portsName = "servicenodeports"

// ports are the node ports, as bits of one stored object.
type ports struct {
	PortRange
	cached *cache.Cache
}

// change reads which ports are taken, lets f change that, and writes it back
// if it is still what was read; else it begins anew. f must not mind.
func (p *ports) change(ctx context.Context, f func(taken *big.Int) error) error {
	for {
		e, err := p.cached.Fresh(ctx, "", portsName)
		if err != nil && !errors.Is(err, cache.ErrNotFound) {
			return fmt.Errorf("node ports cannot be read: %w", err)
		}
		obj := &corev1.RangeAllocation{}
		if e != nil {
			obj = e.Object.(*corev1.RangeAllocation).DeepCopy()
		}
		taken := new(big.Int)
		if e != nil && obj.Range == p.String() {
			taken.SetBytes(obj.Data)
		} else if e != nil {
			taken = p.moved(obj)
		}
		before := new(big.Int).Set(taken)
		if err := f(taken); err != nil {
			return err
		}
		if e != nil && taken.Cmp(before) == 0 && obj.Range == p.String() {
			return nil
		}
		obj.Name, obj.Range, obj.Data = portsName, p.String(), taken.Bytes()
		if e == nil {
			_, err = p.cached.Create(ctx, obj, 0)
		} else {
			_, err = p.cached.Update(ctx, e, obj, 0)
		}
		switch {
		case err == nil:
			return nil
		case errors.Is(err, store.ErrExists), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
			// Somebody was faster.
		default:
			return fmt.Errorf("node ports cannot be written: %w", err)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// moved carries bits over from another range, as far as both have the port.
func (p *ports) moved(obj *corev1.RangeAllocation) *big.Int {
	out := new(big.Int)
	var was PortRange
	if _, err := fmt.Sscanf(obj.Range, "%d-%d", &was.First, &was.Last); err != nil {
		return out
	}
	old := new(big.Int).SetBytes(obj.Data)
	for port := was.First; port <= was.Last && port > 0; port++ {
		if old.Bit(int(port-was.First)) == 1 && p.contains(port) {
			out.SetBit(out, int(port-p.First), 1)
		}
	}
	return out
}

// take sets the bit of a port that was asked for.
func (p *ports) take(taken *big.Int, port int32) error {
	if !p.contains(port) {
		return fmt.Errorf("provided port is not in the valid range. The range of valid ports is %s", p)
	}
	if taken.Bit(int(port-p.First)) == 1 {
		return errPortAllocated
	}
	taken.SetBit(taken, int(port-p.First), 1)
	return nil
}

// any takes a free port.
func (p *ports) any(taken *big.Int, random func(uint64) uint64) (int32, error) {
	for i := range candidates(p.size(), portOffset(p.size()), random) {
		if taken.Bit(int(i)) == 0 {
			taken.SetBit(taken, int(i), 1)
			return p.First + int32(i), nil
		}
	}
	return 0, errFull
}

func (p *ports) release(taken *big.Int, port int32) {
	if p.contains(port) {
		taken.SetBit(taken, int(port-p.First), 0)
	}
}
