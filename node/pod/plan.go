package pod

import (
	"fmt"
	"time"
)

// Verb is what an action does.
type Verb int

// The verbs of a plan.
const (
	// CreateSandbox makes a new sandbox with the given Attempt.
	CreateSandbox Verb = iota
	// StopSandbox stops the sandbox ID.
	StopSandbox
	// StartContainer pulls, creates and starts Name with RestartCount Attempt.
	StartContainer
	// StopContainer ends the container ID by Deadline.
	StopContainer
	// RemoveContainer deletes the container ID, which does not run.
	RemoveContainer
)

// Action is one thing to do for a pod.
type Action struct {
	Verb Verb
	// ID of the container or sandbox acted on.
	ID   string
	Name string
	Kind Kind
	// Attempt is the ordinal of the new sandbox, or the restart count of the new
	// container.
	Attempt uint32
	// Deadline of a stop.
	Deadline time.Time
	// Message explains a stop to people.
	Message string
	// Replace asks for a new instance after the stop whatever the restart policy.
	Replace bool
}

// String writes an action in the short form that tests compare.
func (a Action) String() string {
	switch a.Verb {
	case CreateSandbox:
		return fmt.Sprintf("create sandbox#%d", a.Attempt)
	case StopSandbox:
		return "stop sandbox " + a.ID
	case StartContainer:
		return fmt.Sprintf("start %s %s#%d", a.Kind, a.Name, a.Attempt)
	case StopContainer:
		s := "stop " + a.ID
		if a.Message != "" {
			s += ": " + a.Message
		}
		return s
	case RemoveContainer:
		return "remove " + a.ID
	}
	return "unknown action"
}

// Waiting is why a container does not run, as its status shows it.
type Waiting struct {
	Reason, Message string
}

// Finish says that a pod is over and why.
type Finish struct {
	// Reason and Message go into the pod's status; both are empty when the
	// containers simply ended.
	Reason, Message string
}

// Plan is the answer of [Decide].
type Plan struct {
	Actions []Action
	// Resize names the running containers that are to get other resources than they
	// were given, without a restart.
	Resize []string
	// Waiting reasons by container name.
	Waiting map[string]Waiting
	// Finish asks the shell to end the pod: its containers are done, or it ran
	// past its active deadline.
	Finish *Finish
	// Stopped is true when a pod being stopped has nothing left in the runtime
	// that runs.
	Stopped bool
	// Wake is when to decide again if nothing happens before; zero means never.
	Wake time.Time
}

func (p *Plan) add(a Action) { p.Actions = append(p.Actions, a) }

// wakeAt makes sure the pod is looked at no later than t.
func (p *Plan) wakeAt(t time.Time) {
	if t.IsZero() {
		return
	}
	if p.Wake.IsZero() || t.Before(p.Wake) {
		p.Wake = t
	}
}

func (p *Plan) wait(name, reason, message string) {
	if p.Waiting == nil {
		p.Waiting = map[string]Waiting{}
	}
	p.Waiting[name] = Waiting{Reason: reason, Message: message}
}
