package core

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource/check"
)

func (p *podContext) lifecycleAndProbes(c *corev1.Container, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if l := c.Lifecycle; l != nil {
		if l.PostStart != nil {
			errs = append(errs, p.handler(lifecycleHandler(l.PostStart), at.Child("lifecycle", "postStart"))...)
		}
		if l.PreStop != nil {
			errs = append(errs, p.handler(lifecycleHandler(l.PreStop), at.Child("lifecycle", "preStop"))...)
		}
	}
	once := func(probe *corev1.Probe, at *field.Path) {
		if probe != nil {
			errs = append(errs, p.probe(probe, at)...)
			if probe.SuccessThreshold != 1 {
				errs = append(errs, field.Invalid(at.Child("successThreshold"), probe.SuccessThreshold, "must be 1"))
			}
		}
	}
	once(c.LivenessProbe, at.Child("livenessProbe"))
	if r := c.ReadinessProbe; r != nil {
		at := at.Child("readinessProbe")
		errs = append(errs, p.probe(r, at)...)
		if r.TerminationGracePeriodSeconds != nil {
			errs = append(errs, field.Invalid(at.Child("terminationGracePeriodSeconds"), r.TerminationGracePeriodSeconds, "must not be set for readinessProbes"))
		}
	}
	once(c.StartupProbe, at.Child("startupProbe"))
	return errs
}

func (p *podContext) probe(probe *corev1.Probe, at *field.Path) field.ErrorList {
	h := &probe.ProbeHandler
	errs := p.handler(handler{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, grpc: h.GRPC}, at)
	for _, f := range []struct {
		name  string
		value int32
	}{
		{"initialDelaySeconds", probe.InitialDelaySeconds},
		{"timeoutSeconds", probe.TimeoutSeconds},
		{"periodSeconds", probe.PeriodSeconds},
		{"successThreshold", probe.SuccessThreshold},
		{"failureThreshold", probe.FailureThreshold},
	} {
		errs = append(errs, check.NonNegative(int64(f.value), at.Child(f.name))...)
	}
	if g := probe.TerminationGracePeriodSeconds; g != nil && *g <= 0 {
		errs = append(errs, field.Invalid(at.Child("terminationGracePeriodSeconds"), *g, check.NotPositive))
	}
	return errs
}

// handler is any of the ways in which a node acts on a container.
type handler struct {
	exec  *corev1.ExecAction
	http  *corev1.HTTPGetAction
	tcp   *corev1.TCPSocketAction
	grpc  *corev1.GRPCAction
	sleep *corev1.SleepAction
}

func lifecycleHandler(h *corev1.LifecycleHandler) handler {
	return handler{exec: h.Exec, http: h.HTTPGet, tcp: h.TCPSocket, sleep: h.Sleep}
}

func (p *podContext) handler(h handler, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	n := 0
	add := func(name string, set bool, rules func(at *field.Path) field.ErrorList) {
		if !set {
			return
		}
		n++
		if n > 1 {
			errs = append(errs, field.Forbidden(at.Child(name), "may not specify more than 1 handler type"))
			return
		}
		errs = append(errs, rules(at.Child(name))...)
	}
	add("exec", h.exec != nil, func(at *field.Path) field.ErrorList {
		if len(h.exec.Command) == 0 {
			return field.ErrorList{field.Required(at.Child("command"), "")}
		}
		return nil
	})
	add("httpGet", h.http != nil, func(at *field.Path) field.ErrorList { return validateHTTPGet(h.http, at) })
	add("tcpSocket", h.tcp != nil, func(at *field.Path) field.ErrorList {
		return check.PortNumberOrName(h.tcp.Port, at.Child("port"))
	})
	add("grpc", h.grpc != nil, func(at *field.Path) field.ErrorList {
		return check.PortNumberOrName(intstr.FromInt32(h.grpc.Port), at.Child("port"))
	})
	add("sleep", h.sleep != nil, func(at *field.Path) field.ErrorList {
		// A missing grace period is reported where it is missing.
		if g := p.gracePeriod; g != nil && (h.sleep.Seconds < 0 || h.sleep.Seconds > *g) {
			return field.ErrorList{field.Invalid(at, h.sleep.Seconds, fmt.Sprintf("must be non-negative and less than terminationGracePeriodSeconds (%d)", *g))}
		}
		return nil
	})
	if n == 0 {
		errs = append(errs, field.Required(at, "must specify a handler type"))
	}
	return errs
}

func validateHTTPGet(h *corev1.HTTPGetAction, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if h.Path == "" {
		errs = append(errs, field.Required(at.Child("path"), ""))
	}
	errs = append(errs, check.PortNumberOrName(h.Port, at.Child("port"))...)
	errs = append(errs, check.OneOf(h.Scheme, []corev1.URIScheme{corev1.URISchemeHTTP, corev1.URISchemeHTTPS}, at.Child("scheme"))...)
	for _, header := range h.HTTPHeaders {
		errs = append(errs, check.Messages(validation.IsHTTPHeaderName(header.Name), header.Name, at.Child("httpHeaders"))...)
	}
	return errs
}
