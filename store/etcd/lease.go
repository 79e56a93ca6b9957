package etcd

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A lease costs etcd more than a key, so that keys written within a short time
// share one: it lives a little longer than asked for, and later keys may use
// it while it still lasts long enough.
const (
	// leaseShare of the time to live, at most leaseWindow, is how long keys go
	// on to be added to a lease.
	leaseShare  = 0.05
	leaseWindow = time.Minute
	// leaseKeys bounds the keys of one lease, since they all go at once.
	leaseKeys = 1000
	// leaseKinds bounds the times to live that are told apart.
	leaseKinds = 32
)

// leases hands out leases.
type leases struct {
	client clientv3.Lease
	now    func() time.Time

	mu    *sync.Mutex
	byTTL map[int64]*lease // by seconds
}

type lease struct {
	id      clientv3.LeaseID
	expires time.Time
	keys    int
}

func newLeases(c clientv3.Lease, now func() time.Time) leases {
	return leases{client: c, now: now, mu: &sync.Mutex{}, byTTL: map[int64]*lease{}}
}

// get returns a lease under which a key lives for at least ttl, and not much
// longer. Less than a second is taken for a second.
func (l *leases) get(ctx context.Context, ttl time.Duration) (clientv3.LeaseID, error) {
	seconds := wholeSeconds(ttl)
	ttl = time.Duration(seconds) * time.Second
	window := min(time.Duration(leaseShare*float64(ttl)), leaseWindow).Truncate(time.Second)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if h := l.byTTL[seconds]; h != nil && h.keys < leaseKeys &&
		!h.expires.Before(now.Add(ttl)) && !h.expires.After(now.Add(ttl+window)) {
		h.keys++
		return h.id, nil
	}
	r, err := l.client.Grant(ctx, seconds+int64(window/time.Second))
	if err != nil {
		return 0, err
	}
	if len(l.byTTL) >= leaseKinds {
		clear(l.byTTL)
	}
	l.byTTL[seconds] = &lease{id: r.ID, expires: now.Add(ttl + window), keys: 1}
	return r.ID, nil
}

// forget drops the lease that get last returned for ttl.
func (l *leases) forget(ttl time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byTTL, wholeSeconds(ttl))
}

// wholeSeconds rounds up.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }
