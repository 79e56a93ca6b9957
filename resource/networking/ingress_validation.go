package networking

import (
	"fmt"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	netutils "k8s.io/utils/net"

	"proa/resource/check"
)

// validateIngressSpec checks a spec; old is nil at creation. An ingress that was
// stored with a secret name or a rule of a wildcard host that would be refused
// today can still be written to.
func validateIngressSpec(s, old *networkingv1.IngressSpec) field.ErrorList {
	at := field.NewPath("spec")
	var errs field.ErrorList
	if len(s.Rules) == 0 && s.DefaultBackend == nil {
		errs = append(errs, field.Invalid(at, s.Rules, "either `defaultBackend` or `rules` must be specified"))
	}
	if s.DefaultBackend != nil {
		errs = append(errs, validateBackend(s.DefaultBackend, at.Child("defaultBackend"))...)
	}
	laxRules, laxSecrets := false, false
	if old != nil {
		laxRules = len(validateWildcardRules(old)) > 0
		laxSecrets = len(validateSecretNames(old, at)) > 0
	}
	for i := range s.Rules {
		errs = append(errs, validateRule(&s.Rules[i], laxRules, at.Child("rules").Index(i))...)
	}
	for i := range s.TLS {
		for j, host := range s.TLS[i].Hosts {
			errs = append(errs, validateHost(host, at.Child("tls").Index(i).Child("hosts").Index(j))...)
		}
	}
	if !laxSecrets {
		errs = append(errs, validateSecretNames(s, at)...)
	}
	if c := s.IngressClassName; c != nil {
		errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(*c, false), *c, at.Child("ingressClassName"))...)
	}
	return errs
}

func validateSecretNames(s *networkingv1.IngressSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range s.TLS {
		if name := s.TLS[i].SecretName; name != "" {
			errs = append(errs, check.Messages(apivalidation.NameIsDNSSubdomain(name, false), name, at.Child("tls").Index(i).Child("secretName"))...)
		}
	}
	return errs
}

func validateWildcardRules(s *networkingv1.IngressSpec) field.ErrorList {
	var errs field.ErrorList
	for i := range s.Rules {
		if r := &s.Rules[i]; strings.Contains(r.Host, "*") {
			errs = append(errs, validatePaths(r.HTTP, field.NewPath("http"))...)
		}
	}
	return errs
}

func validateRule(r *networkingv1.IngressRule, laxWildcard bool, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if r.Host != "" {
		if netutils.ParseIPSloppy(r.Host) != nil {
			errs = append(errs, field.Invalid(at.Child("host"), r.Host, "must be a DNS name, not an IP address"))
		}
		errs = append(errs, validateHost(r.Host, at.Child("host"))...)
	}
	if laxWildcard && strings.Contains(r.Host, "*") {
		return errs
	}
	return append(errs, validatePaths(r.HTTP, at.Child("http"))...)
}

func validateHost(host string, at *field.Path) field.ErrorList {
	if strings.Contains(host, "*") {
		return check.Messages(validation.IsWildcardDNS1123Subdomain(host), host, at)
	}
	return check.Subdomain(host, at)
}

func validatePaths(h *networkingv1.HTTPIngressRuleValue, at *field.Path) field.ErrorList {
	if h == nil {
		return nil
	}
	at = at.Child("paths")
	if len(h.Paths) == 0 {
		return field.ErrorList{field.Required(at, "")}
	}
	var errs field.ErrorList
	for i := range h.Paths {
		errs = append(errs, validatePath(&h.Paths[i], at.Index(i))...)
	}
	return errs
}

func validatePath(p *networkingv1.HTTPIngressPath, at *field.Path) field.ErrorList {
	if p.PathType == nil {
		return field.ErrorList{field.Required(at.Child("pathType"), "pathType must be specified")}
	}
	var errs field.ErrorList
	refuse := func(detail string) { errs = append(errs, field.Invalid(at.Child("path"), p.Path, detail)) }
	const absolute = "must be an absolute path"
	switch *p.PathType {
	case networkingv1.PathTypeExact, networkingv1.PathTypePrefix:
		if !strings.HasPrefix(p.Path, "/") {
			refuse(absolute)
		}
		// What these mean differs between proxies, and a rule must not.
		for _, s := range []string{"//", "/./", "/../", "%2f", "%2F"} {
			if strings.Contains(p.Path, s) {
				refuse(fmt.Sprintf("must not contain '%s'", s))
			}
		}
		for _, s := range []string{"/..", "/."} {
			if strings.HasSuffix(p.Path, s) {
				refuse(fmt.Sprintf("cannot end with '%s'", s))
			}
		}
	case networkingv1.PathTypeImplementationSpecific:
		if p.Path != "" && !strings.HasPrefix(p.Path, "/") {
			refuse(absolute)
		}
	default:
		errs = append(errs, field.NotSupported(at.Child("pathType"), *p.PathType, []networkingv1.PathType{
			networkingv1.PathTypeExact, networkingv1.PathTypeImplementationSpecific, networkingv1.PathTypePrefix,
		}))
	}
	return append(errs, validateBackend(&p.Backend, at.Child("backend"))...)
}

func validateBackend(b *networkingv1.IngressBackend, at *field.Path) field.ErrorList {
	switch {
	case b.Resource != nil && b.Service != nil:
		return field.ErrorList{field.Invalid(at, "", "cannot set both resource and service backends")}
	case b.Resource != nil:
		return validateReference(b.Resource.APIGroup, b.Resource.Kind, b.Resource.Name, at.Child("resource"))
	case b.Service == nil:
		return field.ErrorList{field.Invalid(at, "", "resource or service backend is required")}
	}
	var errs field.ErrorList
	service := at.Child("service")
	if name := b.Service.Name; name == "" {
		errs = append(errs, field.Required(service.Child("name"), ""))
	} else {
		errs = append(errs, check.Messages(apivalidation.NameIsDNSLabel(name, false), name, service.Child("name"))...)
	}
	switch p := b.Service.Port; {
	case p.Name != "" && p.Number != 0:
		errs = append(errs, field.Invalid(at, "", "cannot set both port name & port number"))
	case p.Name != "":
		errs = append(errs, check.Messages(validation.IsValidPortName(p.Name), p.Name, service.Child("port", "name"))...)
	case p.Number != 0:
		errs = append(errs, check.Messages(validation.IsValidPortNum(int(p.Number)), p.Number, service.Child("port", "number"))...)
	default:
		errs = append(errs, field.Required(at, "port name or number is required"))
	}
	return errs
}

func validateIngressStatus(i, old *networkingv1.Ingress) field.ErrorList {
	var kept []string
	for _, e := range old.Status.LoadBalancer.Ingress {
		kept = append(kept, e.IP)
	}
	at := field.NewPath("status", "loadBalancer", "ingress")
	var errs field.ErrorList
	for k, e := range i.Status.LoadBalancer.Ingress {
		at := at.Index(k)
		if e.IP != "" {
			errs = append(errs, validation.IsValidIPForLegacyField(at.Child("ip"), e.IP, true, kept)...)
		}
		if e.Hostname != "" {
			errs = append(errs, check.Subdomain(e.Hostname, at.Child("hostname"))...)
			if netutils.ParseIPSloppy(e.Hostname) != nil {
				errs = append(errs, field.Invalid(at.Child("hostname"), e.Hostname, "must be a DNS name, not an IP address"))
			}
		}
	}
	return errs
}
