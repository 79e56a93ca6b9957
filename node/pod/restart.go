package pod

import (
	"slices"

	v1 "k8s.io/api/core/v1"
)

// Kind says which list of the pod spec a container comes from.
type Kind int

// The kinds of containers.
const (
	App Kind = iota
	Init
	Ephemeral
)

func (k Kind) String() string {
	switch k {
	case Init:
		return "init"
	case Ephemeral:
		return "ephemeral"
	}
	return "app"
}

// IsSidecar reports whether an init container is restartable: it starts in its
// turn, keeps running beside the app containers and ends after them.
func IsSidecar(c *v1.Container) bool {
	return c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways
}

// HasSidecars reports whether any init container of the pod is restartable.
func HasSidecars(p *v1.Pod) bool {
	for i := range p.Spec.InitContainers {
		if IsSidecar(&p.Spec.InitContainers[i]) {
			return true
		}
	}
	return false
}

// Find returns the named container of the pod and its kind, or nil. An ephemeral
// container is returned as a plain container.
func Find(p *v1.Pod, name string) (*v1.Container, Kind) {
	for i := range p.Spec.Containers {
		if p.Spec.Containers[i].Name == name {
			return &p.Spec.Containers[i], App
		}
	}
	for i := range p.Spec.InitContainers {
		if p.Spec.InitContainers[i].Name == name {
			return &p.Spec.InitContainers[i], Init
		}
	}
	for i := range p.Spec.EphemeralContainers {
		if p.Spec.EphemeralContainers[i].Name == name {
			return (*v1.Container)(&p.Spec.EphemeralContainers[i].EphemeralContainerCommon), Ephemeral
		}
	}
	return nil, App
}

// RestartsAfter reports whether a container of the pod that ended with exitCode
// runs again: the first matching restart rule of the container decides, then the
// container's own restart policy, then the pod's. A regular init container of an
// Always pod is repeated only until it succeeds.
func RestartsAfter(p *v1.Pod, c *v1.Container, kind Kind, exitCode int32) bool {
	if kind == Ephemeral {
		return false
	}
	if kind == Init && !IsSidecar(c) && exitCode == 0 {
		return false
	}
	for i := range c.RestartPolicyRules {
		if ruleMatches(&c.RestartPolicyRules[i], exitCode) {
			return true
		}
	}
	policy := v1.ContainerRestartPolicy(p.Spec.RestartPolicy)
	if c.RestartPolicy != nil {
		policy = *c.RestartPolicy
	}
	switch policy {
	case v1.ContainerRestartPolicyNever:
		return false
	case v1.ContainerRestartPolicyOnFailure:
		return exitCode != 0
	}
	return true
}

// ruleMatches reports whether a restart rule applies to the exit code.
func ruleMatches(r *v1.ContainerRestartRule, exitCode int32) bool {
	if r.Action != v1.ContainerRestartRuleActionRestart || r.ExitCodes == nil {
		return false
	}
	listed := slices.Contains(r.ExitCodes.Values, exitCode)
	switch r.ExitCodes.Operator {
	case v1.ContainerRestartRuleOnExitCodesOpIn:
		return listed
	case v1.ContainerRestartRuleOnExitCodesOpNotIn:
		return !listed
	}
	return false
}

// MayRestart reports whether an instance that is stopped because it failed a
// liveness or startup probe is followed by another one.
func MayRestart(p *v1.Pod, c *v1.Container, kind Kind) bool {
	return RestartsAfter(p, c, kind, 137)
}
