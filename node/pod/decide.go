package pod

import (
	"fmt"
	"time"

	v1 "k8s.io/api/core/v1"

	"proa/node/cri"
)

// Reasons and messages that upstream shows.
const (
	ReasonCrashLoop        = "CrashLoopBackOff"
	ReasonDeadlineExceeded = "DeadlineExceeded"
	messageDeadline        = "Pod was active on the node longer than the specified deadline"
	messageSandboxChanged  = "Pod sandbox changed, it will be killed and re-created."
)

// Decide returns what to do now for one pod. See the package comment for the
// rules it keeps.
func Decide(in Input) Plan {
	if in.Stop != nil {
		return decideStop(in)
	}
	d := &decision{Input: in}
	if d.deadline() {
		return d.plan
	}
	if d.sandbox() {
		d.containers()
	}
	return d.plan
}

// decision is one run of Decide for a pod that is to run.
type decision struct {
	Input
	plan Plan
	// current is the ready sandbox the containers belong in.
	current *Sandbox
	// pending counts containers that run, start or wait to start.
	pending int
}

// deadline ends a pod that ran longer than it may.
func (d *decision) deadline() bool {
	secs := d.Pod.Spec.ActiveDeadlineSeconds
	if secs == nil || d.StartTime.IsZero() {
		return false
	}
	end := d.StartTime.Add(time.Duration(*secs) * time.Second)
	if d.Now.Before(end) {
		d.plan.wakeAt(end)
		return false
	}
	d.plan.Finish = &Finish{Reason: ReasonDeadlineExceeded, Message: messageDeadline}
	return true
}

// sandbox sees to it that the pod has one good sandbox, and reports whether the
// containers can be looked at.
func (d *decision) sandbox() bool {
	if d.Busy.Sandbox {
		return false
	}
	newest := d.Observed.Sandbox()
	if newest != nil && d.sandboxGood(newest) {
		d.current = newest
		return true
	}

	// Whatever runs in a bad sandbox ends first; the sandbox is then stopped.
	clean := true
	for i := range d.Observed.Containers {
		c := &d.Observed.Containers[i]
		if c.State != Running && c.State != Unknown {
			continue
		}
		clean = false
		if _, stopping := d.Busy.Stopping[c.ID]; !stopping {
			d.plan.add(Action{Verb: StopContainer, ID: c.ID, Name: c.Name, Deadline: d.Now.Add(d.grace(nil)), Message: messageSandboxChanged})
		}
	}
	if !clean {
		return false
	}
	for i := range d.Observed.Sandboxes {
		if s := &d.Observed.Sandboxes[i]; s.Ready {
			clean = false
			d.plan.add(Action{Verb: StopSandbox, ID: s.ID})
		}
	}
	if !clean || len(d.Busy.Stopping) > 0 || len(d.Busy.Starting) > 0 {
		return false
	}
	if d.finished() {
		d.plan.Finish = &Finish{}
		return false
	}
	if d.Now.Before(d.SandboxRetryAt) {
		d.plan.wakeAt(d.SandboxRetryAt)
		return false
	}
	attempt := uint32(0)
	if newest != nil {
		attempt = newest.Attempt + 1
	}
	d.plan.add(Action{Verb: CreateSandbox, Attempt: attempt})
	return false
}

// sandboxGood reports whether containers may live in the sandbox: it is ready,
// the only ready one, of the right network mode, and has an address.
func (d *decision) sandboxGood(s *Sandbox) bool {
	if !s.Ready || s.HostNetwork != d.Pod.Spec.HostNetwork {
		return false
	}
	for i := range d.Observed.Sandboxes[1:] {
		if d.Observed.Sandboxes[i+1].Ready {
			return false
		}
	}
	return s.HostNetwork || len(s.IPs) > 0
}

// finished reports whether a pod without a sandbox has nothing left to run, so
// that it needs no new one. It is asked only when no container is active.
func (d *decision) finished() bool {
	if len(d.Observed.Containers) == 0 {
		return false
	}
	for i := range d.Pod.Spec.Containers {
		c := &d.Pod.Spec.Containers[i]
		if last := d.Observed.Latest(c.Name); last != nil {
			if last.State != Exited || d.restarts(c, App, last) {
				return false
			}
			continue
		}
		// The container never ran. It still will, unless an init container
		// failed for good before it.
		if !d.initFailed() {
			return false
		}
	}
	return true
}

// initFailed reports whether the last run of some regular init container failed
// and is not repeated.
func (d *decision) initFailed() bool {
	for i := range d.Pod.Spec.InitContainers {
		c := &d.Pod.Spec.InitContainers[i]
		last := d.Observed.Latest(c.Name)
		if !IsSidecar(c) && last != nil && last.State == Exited && last.ExitCode != 0 && !d.restarts(c, Init, last) {
			return true
		}
	}
	return false
}

// containers looks at every container of a pod whose sandbox is good.
func (d *decision) containers() {
	if !d.Prepared {
		return
	}
	d.ephemeral()
	if d.inits() {
		d.apps()
	}
}

// ephemeral starts debug containers once each.
func (d *decision) ephemeral() {
	for i := range d.Pod.Spec.EphemeralContainers {
		name := d.Pod.Spec.EphemeralContainers[i].Name
		if d.Observed.Latest(name) == nil {
			d.start(name, Ephemeral, nil)
		}
	}
}

// apps keeps the app containers as their restart policies say, and ends the pod
// when none is left to run.
func (d *decision) apps() {
	for i := range d.Pod.Spec.Containers {
		c := &d.Pod.Spec.Containers[i]
		if d.Busy.Starting[c.Name] {
			d.pending++
			continue
		}
		d.keep(c, App)
	}
	if d.pending == 0 {
		d.plan.Finish = &Finish{}
	}
}

// keep brings one app container or sidecar to where it should be.
func (d *decision) keep(c *v1.Container, kind Kind) {
	cur := d.Observed.LatestIn(d.current.ID, c.Name)
	if cur == nil {
		// From an earlier sandbox it counts only whether it was done.
		last := d.Observed.Latest(c.Name)
		if last != nil && last.State == Exited && !d.restarts(c, kind, last) {
			return
		}
		d.pending++
		if last != nil && (last.State == Running || last.State == Unknown) {
			d.stop(last, messageSandboxChanged, nil, true)
			return
		}
		d.start(c.Name, kind, last)
		return
	}
	switch cur.State {
	case Running:
		d.pending++
		d.healthy(c, kind, cur)
	case Exited:
		if !d.restarts(c, kind, cur) {
			return
		}
		d.pending++
		if _, stopping := d.Busy.Stopping[cur.ID]; stopping {
			return // its stop is about to be reported
		}
		d.restart(c, kind, cur)
	case Created:
		// Left by an attempt that was cut short before it executed.
		d.pending++
		d.remove(cur)
	default:
		d.pending++
		d.stop(cur, "Container is in unknown state, try killing it before restart", nil, true)
	}
}

// healthy stops a running container whose definition changed, whose probes failed
// or which takes its new resources only at a start.
func (d *decision) healthy(c *v1.Container, kind Kind, cur *Container) {
	v := d.Verdicts[cur.ID]
	var message string
	var grace *int64
	again := MayRestart(d.Pod, c, kind)
	replace := false
	switch {
	case cur.Hash != cri.Hash(c):
		message, again, replace = fmt.Sprintf("Container %s definition changed", c.Name), true, true
	case v.LivenessFailed:
		message, grace = fmt.Sprintf("Container %s failed liveness probe", c.Name), v.Grace
	case v.StartupFailed:
		message, grace = fmt.Sprintf("Container %s failed startup probe", c.Name), v.Grace
	case d.Given.Restarts(d.Pod, c):
		if !d.Room {
			return
		}
		message, again, replace = fmt.Sprintf("Container %s resize requires restart", c.Name), false, true
	default:
		d.resize(c, cur)
		return
	}
	if again {
		message += ", will be restarted"
	}
	d.stop(cur, message, grace, replace)
}

// resize gives a running container what it was granted since it started.
func (d *decision) resize(c *v1.Container, cur *Container) {
	if _, stopping := d.Busy.Stopping[cur.ID]; !stopping && d.Given.Differs(d.Pod, c.Name) {
		d.plan.Resize = append(d.plan.Resize, c.Name)
	}
}

// stop plans the end of one container, once.
func (d *decision) stop(cur *Container, message string, grace *int64, replace bool) {
	if _, stopping := d.Busy.Stopping[cur.ID]; stopping {
		return
	}
	d.plan.add(Action{Verb: StopContainer, ID: cur.ID, Name: cur.Name, Deadline: d.Now.Add(d.grace(grace)), Message: message, Replace: replace})
}

// remove plans the removal of one container that does not run, once.
func (d *decision) remove(cur *Container) {
	if !d.Busy.Removing[cur.ID] && !d.Busy.Starting[cur.Name] {
		d.plan.add(Action{Verb: RemoveContainer, ID: cur.ID, Name: cur.Name})
	}
}

// restart starts a container that has exited, after its back-off.
func (d *decision) restart(c *v1.Container, kind Kind, last *Container) {
	mem := d.Memory[c.Name]
	if mem.Replace == last.ID {
		d.start(c.Name, kind, last)
		return
	}
	ready := mem.Backoff.ReadyAt(last.FinishedAt, d.Limits)
	if d.Now.Before(ready) {
		d.plan.wakeAt(ready)
		d.plan.wait(c.Name, ReasonCrashLoop, fmt.Sprintf("back-off %s restarting failed container=%s pod=%s", mem.Backoff.Delay, c.Name, Describe(d.Pod)))
		return
	}
	d.start(c.Name, kind, last)
}

// start plans the start of a container unless an attempt is under way or failed
// only just now.
func (d *decision) start(name string, kind Kind, last *Container) {
	if d.Busy.Starting[name] {
		return
	}
	if at := d.Memory[name].RetryAt; d.Now.Before(at) {
		d.plan.wakeAt(at)
		return
	}
	a := Action{Verb: StartContainer, Name: name, Kind: kind}
	if last != nil {
		a.Attempt = uint32(last.RestartCount) + 1
	}
	d.plan.add(a)
}

// restarts reports whether an exited instance is followed by another.
func (d *decision) restarts(c *v1.Container, kind Kind, last *Container) bool {
	return d.Memory[c.Name].Replace == last.ID || RestartsAfter(d.Pod, c, kind, last.ExitCode)
}

// grace is how long a container of the running pod gets to end.
func (d *decision) grace(override *int64) time.Duration {
	secs := int64(v1.DefaultTerminationGracePeriodSeconds)
	if s := d.Pod.Spec.TerminationGracePeriodSeconds; s != nil {
		secs = *s
	}
	if override != nil {
		secs = *override
	}
	return max(time.Duration(secs)*time.Second, MinGrace)
}
