package resourcequota

import (
	"slices"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"

	"proa/admission/resourcequota/usage"
	"proa/controller"
)

const (
	// underway is longer than a request takes from its charge until what it was
	// charged for is seen here.
	underway = 10 * time.Second
	// unsure is for how long what is told of deletions may be about objects that
	// the last count has left out already.
	unsure = time.Second
	// together are charges kept as one, so that they are few.
	together = time.Second
)

// books are what is known of the quotas beside their objects. They may be used by
// several goroutines at once.
type books struct {
	mu       sync.Mutex
	accounts map[controller.Key]*account
}

// account is what is known of one quota.
type account struct {
	opened time.Time
	// credit is what was seen to go and has not been given back.
	credit v1.ResourceList
	// charges are those of the last while, oldest first.
	charges []charge
	// deaf is until when credits are not believed.
	deaf time.Time
}

// charge is an increase of the usage, or a few that were seen within a moment.
type charge struct {
	first, last time.Time
	used        v1.ResourceList
}

// statement is an account as it stands.
type statement struct {
	// credit may be given back at once.
	credit v1.ResourceList
	// pending was charged so lately that it may not be stored yet.
	pending v1.ResourceList
	// complete: a count misses nothing but what is pending. That is not so before
	// this controller has looked for a while.
	complete bool
	// later is when a count will miss less than it does now.
	later time.Time
}

// account returns that of a quota, made where there is none. It is called with
// the lock held.
func (b *books) account(k controller.Key, now time.Time) *account {
	a := b.accounts[k]
	if a == nil {
		a = &account{opened: now, credit: v1.ResourceList{}}
		b.accounts[k] = a
	}
	return a
}

func (b *books) close(k controller.Key) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.accounts, k)
}

// charged notes an increase of the usage.
func (b *books) charged(k controller.Key, more v1.ResourceList, now time.Time) {
	if len(more) == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.account(k, now)
	a.forget(now)
	if n := len(a.charges); n > 0 && now.Sub(a.charges[n-1].first) < together {
		last := &a.charges[n-1]
		last.last, last.used = now, usage.Add(last.used, more)
		return
	}
	a.charges = append(a.charges, charge{first: now, last: now, used: more})
}

// forget drops the charges that are no longer under way.
func (a *account) forget(now time.Time) {
	a.charges = slices.DeleteFunc(a.charges, func(c charge) bool { return now.Sub(c.last) >= underway })
}

// credit notes that something uses less than it did.
func (b *books) credit(k controller.Key, less v1.ResourceList, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a := b.account(k, now); !now.Before(a.deaf) {
		a.credit = usage.Add(a.credit, less)
	}
}

func (b *books) read(k controller.Key, now time.Time) statement {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.account(k, now)
	a.forget(now)
	s := statement{credit: usage.Add(a.credit, nil), pending: v1.ResourceList{}, later: a.opened.Add(underway)}
	s.complete = !now.Before(s.later)
	for i, c := range a.charges {
		s.pending = usage.Add(s.pending, c.used)
		if s.complete && i == 0 {
			s.later = c.last.Add(underway)
		}
	}
	return s
}

// settle takes from the account what was given back. After a write that rests on
// a count, credits are about objects which that has left out.
func (b *books) settle(k controller.Key, given v1.ResourceList, counted bool, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a := b.account(k, now)
	a.credit = increase(given, a.credit)
	if counted {
		a.credit, a.deaf = v1.ResourceList{}, now.Add(unsure)
	}
}

// increase is by how much b is more than a, of the names of which it is.
func increase(a, b v1.ResourceList) v1.ResourceList {
	more := v1.ResourceList{}
	for n, v := range usage.Less(b, a) {
		if v.Sign() > 0 {
			more[n] = v
		}
	}
	return more
}

// plan is what becomes of a quota.
type plan struct {
	// next is the quota with the status that it is to have, nil where it has that.
	next *v1.ResourceQuota
	// counted: some of it rests on a count alone.
	counted bool
	// above: some of it is higher than the count, and may have to come down.
	above bool
}

// decide says what the status of a quota is to be, when so much of it is counted.
//
// Where the count is higher than what is charged, the count is right: something is
// there that was not charged. Where it is lower, the difference may be on its way
// into the store, so that only what was seen to go is given back at once; the rest
// is, once no request that was charged can still be under way.
func decide(q *v1.ResourceQuota, counted v1.ResourceList, s statement) (p plan) {
	status := v1.ResourceQuotaStatus{Hard: q.Spec.Hard.DeepCopy(), Used: v1.ResourceList{}}
	for n := range q.Spec.Hard {
		is := counted[n]
		was, known := q.Status.Used[n]
		if !known || is.Cmp(was) >= 0 {
			p.counted = p.counted || !known || is.Cmp(was) > 0
			status.Used[n] = is
			continue
		}
		to := minus(was, s.credit[n])
		if s.complete {
			if all := plus(is, s.pending[n]); all.Cmp(to) < 0 {
				to, p.counted = all, true
			}
		}
		if to.Cmp(is) < 0 {
			to = is
		}
		p.above = p.above || to.Cmp(is) > 0
		status.Used[n] = to
	}
	if equality.Semantic.DeepEqual(q.Status.Hard, status.Hard) && equality.Semantic.DeepEqual(q.Status.Used, status.Used) {
		p.counted = false
		return p
	}
	p.next = q.DeepCopy()
	p.next.Status = status
	// What differs only in how it is written stays as it was.
	for n, v := range status.Used {
		if was, ok := q.Status.Used[n]; ok && was.Cmp(v) == 0 {
			p.next.Status.Used[n] = was
		}
	}
	return p
}

func plus(a, b resource.Quantity) resource.Quantity {
	sum := a.DeepCopy()
	sum.Add(b)
	return sum
}

func minus(a, b resource.Quantity) resource.Quantity {
	rest := a.DeepCopy()
	rest.Sub(b)
	return rest
}
