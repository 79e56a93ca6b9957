package core

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

// podContext is what the rules for containers need to know of the pod that
// they are in.
type podContext struct {
	opts        PodSpecOptions
	volumes     map[string]*corev1.VolumeSource // valid ones only
	named       map[string]*corev1.VolumeSource // all of them
	claims      map[string]bool                 // names of resource claims
	gracePeriod *int64
	restart     corev1.RestartPolicy
	hostUsers   bool
}

func (p *podContext) containers(cs []corev1.Container, at *field.Path) field.ErrorList {
	if len(cs) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	names := map[string]bool{}
	for i := range cs {
		c, at := &cs[i], at.Index(i)
		errs = append(errs, p.common(c, at)...)
		// A name used by an init or ephemeral container as well is reported
		// there.
		if names[c.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		names[c.Name] = true
		errs = append(errs, p.lifecycleAndProbes(c, at)...)
		errs = append(errs, validateContainerRestart(c, at)...)
	}
	return append(errs, hostPortConflicts(cs, at)...)
}

func (p *podContext) initContainers(cs, regular []corev1.Container, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i := range regular {
		names[regular[i].Name] = true
	}
	for i := range cs {
		c, list := &cs[i], at
		at := at.Index(i)
		errs = append(errs, p.common(c, at)...)
		if c.RestartPolicy != nil {
			errs = append(errs, validateContainerRestart(c, at)...)
		} else if len(c.RestartPolicyRules) > 0 {
			errs = append(errs, field.Required(at.Child("restartPolicy"), needsRestartPolicy))
		}
		if names[c.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		} else if c.Name != "" {
			names[c.Name] = true
		}
		// They run one after the other, so each is checked by itself.
		errs = append(errs, hostPortConflicts(cs[i:i+1], list)...)
		if isSidecar(c) {
			errs = append(errs, p.lifecycleAndProbes(c, at)...)
			continue
		}
		for j, r := range c.ResizePolicy {
			if r.RestartPolicy == corev1.RestartContainer {
				errs = append(errs, field.Invalid(at.Child("resizePolicy").Index(j).Child("restartPolicy"), r.RestartPolicy, "must not be set to 'RestartContainer' for non-sidecar initContainers"))
			}
		}
		const why = "may not be set for init containers without restartPolicy=Always"
		for _, f := range []struct {
			name string
			set  bool
		}{
			{"lifecycle", c.Lifecycle != nil},
			{"livenessProbe", c.LivenessProbe != nil},
			{"readinessProbe", c.ReadinessProbe != nil},
			{"startupProbe", c.StartupProbe != nil},
		} {
			if f.set {
				errs = append(errs, field.Forbidden(at.Child(f.name), why))
			}
		}
	}
	return errs
}

// ephemeralFields are those that an ephemeral container may have. What keeps a
// container running or gives it resources is not among them: nobody may rely
// on one.
var ephemeralFields = []string{
	"Name", "Image", "Command", "Args", "WorkingDir", "EnvFrom", "Env", "VolumeMounts", "VolumeDevices",
	"TerminationMessagePath", "TerminationMessagePolicy", "ImagePullPolicy", "SecurityContext", "Stdin", "StdinOnce", "TTY",
}

func (p *podContext) ephemeralContainers(cs []corev1.EphemeralContainer, spec *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	lasting, names := map[string]bool{}, map[string]bool{}
	for _, others := range [][]corev1.Container{spec.Containers, spec.InitContainers} {
		for i := range others {
			lasting[others[i].Name], names[others[i].Name] = true, true
		}
	}
	const why = "cannot be set for an Ephemeral Container"
	for i := range cs {
		c, at := (*corev1.Container)(&cs[i].EphemeralContainerCommon), at.Index(i)
		errs = append(errs, p.common(c, at)...)
		errs = append(errs, validateImageSpace(c, at)...)
		if names[c.Name] {
			errs = append(errs, field.Duplicate(at.Child("name"), c.Name))
		}
		names[c.Name] = true
		if t := cs[i].TargetContainerName; t != "" && !lasting[t] {
			errs = append(errs, field.NotFound(at.Child("targetContainerName"), t))
		}
		errs = append(errs, check.OnlyFields(cs[i].EphemeralContainerCommon, ephemeralFields, why, at)...)
		for j, m := range c.VolumeMounts {
			// The mounts behind a sub path would outlive the container.
			if m.SubPath != "" {
				errs = append(errs, field.Forbidden(at.Child("volumeMounts").Index(j).Child("subPath"), why))
			}
			if m.SubPathExpr != "" {
				errs = append(errs, field.Forbidden(at.Child("volumeMounts").Index(j).Child("subPathExpr"), why))
			}
		}
	}
	return errs
}

// common holds what is asked of a container of any sort.
func (p *podContext) common(c *corev1.Container, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if c.Name == "" {
		errs = append(errs, field.Required(at.Child("name"), ""))
	} else {
		errs = append(errs, check.Label(c.Name, at.Child("name"))...)
	}
	if c.Image == "" {
		errs = append(errs, field.Required(at.Child("image"), ""))
	}
	policies := []corev1.TerminationMessagePolicy{corev1.TerminationMessageReadFile, corev1.TerminationMessageFallbackToLogsOnError}
	errs = append(errs, requiredOneOf(c.TerminationMessagePolicy, policies, at.Child("terminationMessagePolicy"))...)
	errs = append(errs, validateContainerPorts(c.Ports, at.Child("ports"))...)
	errs = append(errs, p.env(c.Env, at.Child("env"))...)
	errs = append(errs, validateEnvFrom(c.EnvFrom, at.Child("envFrom"))...)
	errs = append(errs, p.volumeMounts(c, at.Child("volumeMounts"))...)
	errs = append(errs, p.volumeDevices(c, at.Child("volumeDevices"))...)
	errs = append(errs, requiredOneOf(c.ImagePullPolicy, pullPolicies, at.Child("imagePullPolicy"))...)
	errs = append(errs, p.resources(&c.Resources, at.Child("resources"))...)
	errs = append(errs, p.resizePolicy(c.ResizePolicy, at.Child("resizePolicy"))...)
	return append(errs, validateSecurityContext(c.SecurityContext, p.hostUsers, at.Child("securityContext"))...)
}

var pullPolicies = []corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}

// requiredOneOf is check.OneOf for a field that has to be set.
func requiredOneOf[T ~string](value T, allowed []T, at *field.Path) field.ErrorList {
	if value == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	return check.OneOf(value, allowed, at)
}

// validateImageSpace is asked of pods only: templates with blanks around an
// image have been let through for too long.
func validateImageSpace(c *corev1.Container, at *field.Path) field.ErrorList {
	if strings.TrimSpace(c.Image) != c.Image {
		return field.ErrorList{field.Invalid(at.Child("image"), c.Image, "must not have leading or trailing whitespace")}
	}
	return nil
}

func validateContainerPorts(ports []corev1.ContainerPort, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	names := map[string]bool{}
	for i := range ports {
		p, at := &ports[i], at.Index(i)
		if p.Name != "" {
			if bad := check.Messages(validation.IsValidPortName(p.Name), p.Name, at.Child("name")); len(bad) > 0 {
				errs = append(errs, bad...)
			} else if names[p.Name] {
				errs = append(errs, field.Duplicate(at.Child("name"), p.Name))
			} else {
				names[p.Name] = true
			}
		}
		if p.ContainerPort == 0 {
			errs = append(errs, field.Required(at.Child("containerPort"), ""))
		} else {
			errs = append(errs, check.Messages(validation.IsValidPortNum(int(p.ContainerPort)), p.ContainerPort, at.Child("containerPort"))...)
		}
		if p.HostPort != 0 {
			errs = append(errs, check.Messages(validation.IsValidPortNum(int(p.HostPort)), p.HostPort, at.Child("hostPort"))...)
		}
		errs = append(errs, requiredOneOf(p.Protocol, protocols, at.Child("protocol"))...)
	}
	return errs
}

var protocols = []corev1.Protocol{corev1.ProtocolSCTP, corev1.ProtocolTCP, corev1.ProtocolUDP}

// hostPortConflicts reports ports of the host that two containers want.
func hostPortConflicts(cs []corev1.Container, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	taken := map[string]bool{}
	for i := range cs {
		for j := range cs[i].Ports {
			p := &cs[i].Ports[j]
			if p.HostPort == 0 {
				continue
			}
			key := fmt.Sprintf("%s/%s/%d", p.Protocol, p.HostIP, p.HostPort)
			if taken[key] {
				errs = append(errs, field.Duplicate(at.Index(i).Child("ports").Index(j).Child("hostPort"), key))
			}
			taken[key] = true
		}
	}
	return errs
}

// Bounds of a container's restart rules.
const (
	maxRestartRules     = 20
	maxRestartExitCodes = 255
)

const needsRestartPolicy = "must specify restartPolicy when restart rules are used"

// validateContainerRestart checks the restart policy that a container has for
// itself, and the rules that make exceptions from it.
func validateContainerRestart(c *corev1.Container, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	rules := at.Child("restartPolicyRules")
	if c.RestartPolicy == nil {
		if len(c.RestartPolicyRules) > 0 {
			errs = append(errs, field.Required(at.Child("restartPolicy"), needsRestartPolicy))
		}
	} else {
		allowed := []corev1.ContainerRestartPolicy{corev1.ContainerRestartPolicyAlways, corev1.ContainerRestartPolicyNever, corev1.ContainerRestartPolicyOnFailure}
		errs = append(errs, check.OneOf(*c.RestartPolicy, allowed, at.Child("restartPolicy"))...)
	}
	if len(c.RestartPolicyRules) > maxRestartRules {
		errs = append(errs, field.TooMany(rules, len(c.RestartPolicyRules), maxRestartRules))
	}
	for i := range c.RestartPolicyRules {
		r, at := &c.RestartPolicyRules[i], rules.Index(i)
		errs = append(errs, check.OneOf(r.Action, []corev1.ContainerRestartRuleAction{corev1.ContainerRestartRuleActionRestart}, at.Child("action"))...)
		if r.ExitCodes == nil {
			errs = append(errs, field.Required(at.Child("exitCodes"), "must be specified"))
			continue
		}
		at = at.Child("exitCodes")
		ops := []corev1.ContainerRestartRuleOnExitCodesOperator{corev1.ContainerRestartRuleOnExitCodesOpIn, corev1.ContainerRestartRuleOnExitCodesOpNotIn}
		errs = append(errs, check.OneOf(r.ExitCodes.Operator, ops, at.Child("operator"))...)
		if n := len(r.ExitCodes.Values); n > maxRestartExitCodes {
			errs = append(errs, field.TooMany(at.Child("values"), n, maxRestartExitCodes))
		}
	}
	return errs
}
