package check

import (
	"fmt"

	netutils "k8s.io/utils/net"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// PlainIP refuses addresses that no traffic should be sent to: behind a
// service they would lead to the node itself.
func PlainIP(ip string, at *field.Path) field.ErrorList {
	a := netutils.ParseIPSloppy(ip)
	if a == nil {
		return field.ErrorList{field.Invalid(at, ip, "must be a valid IP address")}
	}
	var errs field.ErrorList
	refuse := func(is bool, why string) {
		if is {
			errs = append(errs, field.Invalid(at, ip, why))
		}
	}
	refuse(a.IsUnspecified(), fmt.Sprintf("may not be unspecified (%s)", ip))
	refuse(a.IsLoopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)")
	refuse(a.IsLinkLocalUnicast(), "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
	refuse(a.IsLinkLocalMulticast(), "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
	return errs
}
