package certificates

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// ValidateSignerName checks the name of a signer: a domain of at least two
// labels, a slash, and a path of DNS names separated by dots, such as
// "kubernetes.io/kubelet-serving".
func ValidateSignerName(name string, at *field.Path) field.ErrorList {
	const (
		maxDomain = validation.DNS1123SubdomainMaxLength
		// The path may name an object: namespace, dot and name.
		maxPath = validation.DNS1123LabelMaxLength + 1 + validation.DNS1123SubdomainMaxLength
		maxName = maxDomain + 1 + maxPath
	)
	if name == "" {
		return field.ErrorList{field.Required(at, "")}
	}
	domain, path, ok := strings.Cut(name, "/")
	if !ok || strings.Contains(path, "/") {
		return field.ErrorList{field.Invalid(at, name, "must be a fully qualified domain and path of the form 'example.com/signer-name'")}
	}
	var errs field.ErrorList
	if len(domain) > maxDomain {
		errs = append(errs, field.TooLong(at, domain, maxDomain))
	}
	labels := strings.Split(domain, ".")
	errs = append(errs, firstBad(labels, validation.IsDNS1123Label, domain, at)...)
	if len(labels) < 2 {
		errs = append(errs, field.Invalid(at, domain, "should be a domain with at least two segments separated by dots"))
	}
	errs = append(errs, firstBad(strings.Split(path, "."), validation.IsDNS1123Subdomain, path, at)...)
	if len(name) > maxName {
		errs = append(errs, field.TooLong(at, name, maxName))
	}
	return errs
}

// firstBad reports what is wrong with the first part that a rule refuses; the
// messages about further parts would hardly differ.
func firstBad(parts []string, rule func(string) []string, whole string, at *field.Path) field.ErrorList {
	for _, p := range parts {
		if messages := rule(p); len(messages) > 0 {
			var errs field.ErrorList
			for _, m := range messages {
				errs = append(errs, field.Invalid(at, whole, fmt.Sprintf("validating label %q: %s", p, m)))
			}
			return errs
		}
	}
	return nil
}
