package pod

import v1 "k8s.io/api/core/v1"

// inits walks the init containers in order and reports whether the app
// containers may be looked at. Only what lives in the current sandbox counts: a
// new sandbox initializes the pod anew.
func (d *decision) inits() bool {
	specs := d.Pod.Spec.InitContainers
	if len(specs) == 0 {
		return true
	}
	begun := d.appsBegun()
	// Everything before the furthest init container that has begun is past, even
	// when the record of it is gone from the runtime.
	furthest := -1
	for i := range specs {
		if d.Observed.LatestIn(d.current.ID, specs[i].Name) != nil {
			furthest = i
		}
	}
	for i := range specs {
		c := &specs[i]
		switch {
		case IsSidecar(c):
			if !d.sidecar(c) && !begun {
				return false
			}
		case begun:
			// Regular init containers are history.
		case !d.initDone(c, i < furthest):
			return false
		}
	}
	return true
}

// appsBegun reports whether any app container was ever created in this sandbox.
func (d *decision) appsBegun() bool {
	for i := range d.Pod.Spec.Containers {
		name := d.Pod.Spec.Containers[i].Name
		if d.Busy.Starting[name] || d.Observed.LatestIn(d.current.ID, name) != nil {
			return true
		}
	}
	return false
}

// sidecar keeps one restartable init container and reports whether what comes
// after it may start.
func (d *decision) sidecar(c *v1.Container) bool {
	if d.Busy.Starting[c.Name] {
		return false
	}
	before := d.pending
	d.keep(c, Init)
	// A sidecar keeps no pod alive by itself.
	d.pending = before
	cur := d.Observed.LatestIn(d.current.ID, c.Name)
	if cur == nil || cur.State != Running {
		return false
	}
	v := d.Verdicts[cur.ID]
	return v.Started && !v.StartupFailed
}

// initDone runs one regular init container and reports whether it has succeeded.
// past is true when a later one has already begun.
func (d *decision) initDone(c *v1.Container, past bool) bool {
	if d.Busy.Starting[c.Name] {
		return false
	}
	cur := d.Observed.LatestIn(d.current.ID, c.Name)
	if cur == nil {
		if past {
			return true
		}
		if last := d.Observed.Latest(c.Name); last != nil && (last.State == Running || last.State == Unknown) {
			d.stop(last, messageSandboxChanged, nil, true)
		} else {
			d.start(c.Name, Init, last)
		}
		return false
	}
	switch cur.State {
	case Running:
		d.resize(c, cur)
	case Exited:
		if cur.ExitCode == 0 {
			return true
		}
		if past {
			return true
		}
		if !d.restarts(c, Init, cur) {
			d.plan.Finish = &Finish{}
			return false
		}
		d.restart(c, Init, cur)
	case Created:
		d.remove(cur)
	default:
		d.stop(cur, "Init container is in unknown state, try killing it before restart", nil, true)
	}
	return false
}
