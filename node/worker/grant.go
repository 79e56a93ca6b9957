package worker

import (
	"cmp"
	"slices"
	"time"

	v1 "k8s.io/api/core/v1"

	"proa/node/cgroup"
	"proa/node/pod"
	"proa/node/resize"
)

// grant is what one pod may have, guarded by the manager's mutex: what is promised
// to one is not left for another.
type grant struct {
	granted resize.Granted
	// wanted is the newest pod as its source has it.
	wanted *v1.Pod
	// refused says why wanted is not granted, nil if it is; since is since when.
	refused *Rejection
	since   time.Time
}

// remembered is what the agent knows of a pod's resources from before.
type remembered struct {
	resize.Record
	// recorded tells whether it was on disk.
	recorded bool
}

// remember looks a pod up. running tells whether the runtime has something of it.
func (m *Manager) remember(p *v1.Pod, running bool) remembered {
	rec, err := m.records().Read(p.UID)
	switch {
	case err != nil:
		m.cfg.Log.Warn("unreadable record of a pod's resources; its status takes its place", "pod", p.Namespace+"/"+p.Name, "uid", p.UID, "error", err)
	case rec != nil:
		return remembered{*rec, true}
	}
	if !running {
		return remembered{Record: resize.Record{Granted: resize.Of(p), Given: resize.Of(p)}}
	}
	granted, given := resize.FromStatus(p)
	return remembered{Record: resize.Record{Granted: granted, Given: given}}
}

func (m *Manager) records() resize.Records { return resize.Records{Root: m.cfg.Node.Root} }

// admitted lists the pods that count as running here, as they were granted, without
// that of one worker. Callers hold mu.
func (m *Manager) admitted(but *worker) []*v1.Pod {
	var out []*v1.Pod
	for _, w := range m.workers {
		if p, live := w.admitted(); live && w != but {
			out = append(out, w.grant.granted.Apply(p))
		}
	}
	return out
}

// want takes the newest version of a worker's pod, and grants it the resources that
// it asks for if there is room. Callers hold mu.
func (m *Manager) want(w *worker, wanted *v1.Pod) {
	if w.grant.wanted == nil {
		// So far it was known from the runtime only.
		known := m.remember(wanted, true)
		w.grant.granted = known.Granted
		w.post(func() { w.resizing = newResizeState(wanted, known) })
	}
	again := w.grant.wanted != nil && w.grant.wanted.Generation == wanted.Generation && w.grant.refused != nil
	w.grant.wanted = wanted
	if again {
		// Nothing of the spec changed; RetryResizes asks again when there is room.
		p := w.grant.granted.Apply(wanted)
		w.post(func() { w.update(p) })
		return
	}
	if m.consider(w) {
		m.retryResizes() // it may have asked for less than it had
	}
}

// consider grants a pod other resources, if it wants any, or says why not. It
// reports whether it has. Callers hold mu.
func (m *Manager) consider(w *worker) bool {
	g := &w.grant
	was := g.refused
	g.refused = nil
	over := g.wanted.DeletionTimestamp != nil || pod.IsTerminal(g.wanted)
	if g.granted.Apply(g.wanted) != g.wanted && !over {
		if m.cfg.Admit != nil {
			g.refused = m.cfg.Admit(g.wanted, m.admitted(w))
		}
		if g.refused == nil {
			g.granted = resize.Of(g.wanted)
			p := g.wanted
			w.post(func() { w.update(p); w.resizeGranted() })
			return true
		}
	}
	if was == nil && g.refused != nil {
		g.since = time.Now()
	}
	wanted, p, refused := g.wanted, g.granted.Apply(g.wanted), g.refused
	w.post(func() { w.update(p); w.resizeRefused(wanted, refused) })
	return false
}

// RetryResizes asks again for the pods whose wishes were put off.
func (m *Manager) RetryResizes() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.retryResizes()
}

func (m *Manager) retryResizes() {
	var waiting []*worker
	for _, w := range m.workers {
		if w.grant.refused != nil && !w.leaving {
			waiting = append(waiting, w)
		}
	}
	slices.SortFunc(waiting, func(a, b *worker) int { return a.grant.compare(&b.grant) })
	for _, w := range waiting {
		m.consider(w)
	}
}

// compare orders wishes as upstream does: those that ask for no more come first,
// then those of pods of higher priority, of guaranteed pods, and the older ones.
func (g *grant) compare(other *grant) int {
	rank := func(g *grant) (grows, priority, class int) {
		if g.granted.Grows(g.wanted) {
			grows = 1
		}
		if p := g.wanted.Spec.Priority; p != nil {
			priority = -int(*p)
		}
		if cgroup.QOS(g.wanted) != v1.PodQOSGuaranteed {
			class = 1
		}
		return grows, priority, class
	}
	grows, priority, class := rank(g)
	otherGrows, otherPriority, otherClass := rank(other)
	return cmp.Or(cmp.Compare(grows, otherGrows), cmp.Compare(priority, otherPriority), cmp.Compare(class, otherClass), g.since.Compare(other.since))
}
