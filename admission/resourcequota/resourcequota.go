// Package resourcequota is the admission plugin ResourceQuota: what a
// namespace may use in all is not exceeded, however many write at once.
//
// A request is charged before it is stored: the new usage is written to the
// status of the quotas, on condition that they have not changed since they
// were read. If others have written meanwhile, everything is judged again. So
// several API servers may admit at the same time. Requests that come to one
// server while a write is under way are charged together by the next one.
//
// A request that fails after it was charged (its name exists) leaves the usage
// too high until the controller of quotas adds up again. It is never too low.
package resourcequota

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"

	"proa/admission"
	"proa/resource"
)

const (
	// attempts bounds how often a batch is judged again because others wrote.
	attempts = 10
	// patience bounds the work for one batch.
	patience = 10 * time.Second
)

// Quotas reads and charges quotas.
type Quotas interface {
	// ResourceQuotas lists the quotas of a namespace, all that were written
	// before the call where fresh is set.
	ResourceQuotas(ctx context.Context, namespace string, fresh bool) ([]*corev1.ResourceQuota, error)
}

// UpdateStatus writes the status of a quota, on condition of its resource
// version.
type UpdateStatus func(ctx context.Context, q *corev1.ResourceQuota) (*corev1.ResourceQuota, error)

// Plugin is the admission plugin. Put it last: what it charges should be
// stored.
type Plugin struct {
	quotas Quotas
	update UpdateStatus
	clock  clock.PassiveClock

	mu    sync.Mutex
	lines map[string]*line // of the namespaces that are being charged
}

// line is the requests of a namespace that wait for the next batch. There is a
// worker while it exists.
type line struct{ waiting []*ask }

type ask struct {
	charge charge
	dryRun bool
	done   chan error // of size 1
}

// New makes the plugin.
func New(q Quotas, update UpdateStatus, c clock.PassiveClock) *Plugin {
	return &Plugin{quotas: q, update: update, clock: c, lines: map[string]*line{}}
}

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "ResourceQuota" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	if def.ClusterScoped || def.Virtual {
		return false
	}
	switch op {
	case admission.Create:
		return subresource == ""
	case admission.Update:
		return admission.Is(def, "", "pods") && subresource == "resize" ||
			subresource == "" && (admission.Is(def, "", "services") || admission.Is(def, "", "persistentvolumeclaims"))
	}
	return false
}

// Validate implements [admission.Validator].
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	obj, ok := a.Object.(resource.Object)
	if !ok {
		return nil
	}
	// Most namespaces have none. One that was made this moment counts nothing
	// before its status is filled in.
	if list, err := p.quotas.ResourceQuotas(ctx, a.Namespace, false); err == nil && len(list) == 0 {
		return nil
	}
	c := charge{of: a.GroupResource(), obj: obj, paid: map[string]bool{}}
	if a.Operation == admission.Update {
		c.old, _ = a.Old.(resource.Object)
	}
	q := &ask{charge: c, dryRun: a.DryRun, done: make(chan error, 1)}
	p.enqueue(a.Namespace, q)
	select {
	case err := <-q.done:
		if err != nil {
			return refuse(a, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func refuse(a *admission.Attributes, err error) error {
	var s apierrors.APIStatus
	if errors.As(err, &s) {
		return err
	}
	return admission.Forbidden(a, err)
}

func (p *Plugin) enqueue(namespace string, q *ask) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l := p.lines[namespace]; l != nil {
		l.waiting = append(l.waiting, q)
		return
	}
	l := &line{waiting: []*ask{q}}
	p.lines[namespace] = l
	// It ends when nobody waits; how many can wait is bounded by the requests
	// in flight.
	go p.work(namespace, l)
}

func (p *Plugin) work(namespace string, l *line) {
	for {
		p.mu.Lock()
		batch := l.waiting
		l.waiting = nil
		if len(batch) == 0 {
			delete(p.lines, namespace)
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		p.settle(namespace, batch)
	}
}

// settle charges a batch and answers everybody in it.
func (p *Plugin) settle(namespace string, batch []*ask) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range attempts {
		quotas, err := p.quotas.ResourceQuotas(ctx, namespace, true)
		if err != nil {
			answer(batch, fmt.Errorf("unable to read the quotas: %w", err))
			return
		}
		slices.SortFunc(quotas, func(a, b *corev1.ResourceQuota) int { return strings.Compare(a.Name, b.Name) })
		charged, changed := p.judge(quotas, batch)
		conflict := false
		for _, q := range changed {
			if _, err = p.update(ctx, q); err == nil {
				// Should the next one be found changed, this one is not
				// charged again.
				for _, a := range charged {
					a.charge.paid[q.Name] = true
				}
				continue
			}
			if conflict = apierrors.IsConflict(err) || apierrors.IsNotFound(err); !conflict {
				answer(charged, fmt.Errorf("unable to write the status of quota %s: %w", q.Name, err))
			}
			break
		}
		switch {
		case conflict:
			batch = charged
			continue
		case err == nil:
			answer(charged, nil)
		}
		return
	}
	answer(batch, apierrors.NewTooManyRequests("the quotas of the namespace are being changed by too many at once", 1))
}

// judge decides over a batch in its order, each upon what the others before
// have taken. It answers those who are refused, or who take nothing or only
// asked, and returns the others with the quotas to write.
func (p *Plugin) judge(quotas []*corev1.ResourceQuota, batch []*ask) (charged []*ask, changed []*corev1.ResourceQuota) {
	now := p.clock.Now()
	state := slices.Clone(quotas)
	for _, q := range batch {
		list, err := decide(state, q.charge, now)
		if err != nil || q.dryRun || len(list) == 0 {
			q.done <- err
			continue
		}
		for _, u := range list {
			i := slices.IndexFunc(state, func(s *corev1.ResourceQuota) bool { return s.Name == u.Name })
			state[i] = u
		}
		charged = append(charged, q)
	}
	for i := range state {
		if state[i] != quotas[i] {
			changed = append(changed, state[i])
		}
	}
	return charged, changed
}

func answer(batch []*ask, err error) {
	for _, q := range batch {
		q.done <- err
	}
}
