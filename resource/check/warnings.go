package check

import (
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation"
)

// HostnameWarnings are about a name that is allowed to be a subdomain, but of
// which pods make host names.
func HostnameWarnings(name string) []string {
	messages := validation.IsDNS1123Label(name)
	if len(messages) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is recommended: %v", messages)}
}
