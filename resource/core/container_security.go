package core

import (
	"fmt"
	"regexp"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource/check"
)

func validateSecurityContext(s *corev1.SecurityContext, hostUsers bool, at *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	errs := validateIDs(s.RunAsUser, s.RunAsGroup, at)
	if s.ProcMount != nil {
		errs = append(errs, check.OneOf(*s.ProcMount, []corev1.ProcMountType{corev1.DefaultProcMount, corev1.UnmaskedProcMount}, at.Child("procMount"))...)
		if hostUsers && *s.ProcMount == corev1.UnmaskedProcMount {
			errs = append(errs, field.Invalid(at.Child("procMount"), s.ProcMount, "`hostUsers` must be false to use `Unmasked`"))
		}
	}
	errs = append(errs, validateSeccomp(s.SeccompProfile, at.Child("seccompProfile"))...)
	if s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
		if ptr.Deref(s.Privileged, false) {
			errs = append(errs, field.Invalid(at, s, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"))
		}
		if s.Capabilities != nil {
			for _, c := range s.Capabilities.Add {
				if c == "CAP_SYS_ADMIN" {
					errs = append(errs, field.Invalid(at, s, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"))
				}
			}
		}
	}
	errs = append(errs, validateWindowsOptions(s.WindowsOptions, at.Child("windowsOptions"))...)
	return append(errs, validateAppArmor(s.AppArmorProfile, at.Child("appArmorProfile"))...)
}

func validateIDs(user, group *int64, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if user != nil {
		errs = append(errs, check.Messages(validation.IsValidUserID(*user), *user, at.Child("runAsUser"))...)
	}
	if group != nil {
		errs = append(errs, check.Messages(validation.IsValidGroupID(*group), *group, at.Child("runAsGroup"))...)
	}
	return errs
}

func validateSeccomp(s *corev1.SeccompProfile, at *field.Path) field.ErrorList {
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	if s.Type == "" {
		errs = append(errs, field.Required(at.Child("type"), "type is required when seccompProfile is set"))
	} else {
		errs = append(errs, check.OneOf(s.Type, []corev1.SeccompProfileType{corev1.SeccompProfileTypeLocalhost, corev1.SeccompProfileTypeRuntimeDefault, corev1.SeccompProfileTypeUnconfined}, at.Child("type"))...)
	}
	profile := at.Child("localhostProfile")
	switch {
	case s.Type != corev1.SeccompProfileTypeLocalhost:
		if s.LocalhostProfile != nil {
			errs = append(errs, field.Invalid(profile, s, "can only be set when seccomp type is Localhost"))
		}
	case s.LocalhostProfile == nil:
		errs = append(errs, field.Required(profile, "must be set when seccomp type is Localhost"))
	default:
		errs = append(errs, check.LocalDescendingPath(*s.LocalhostProfile, profile)...)
	}
	return errs
}

const maxAppArmorProfile = 4095 // bytes: the longest path

func validateAppArmor(a *corev1.AppArmorProfile, at *field.Path) field.ErrorList {
	if a == nil {
		return nil
	}
	profile := at.Child("localhostProfile")
	switch a.Type {
	case corev1.AppArmorProfileTypeLocalhost:
		const missing = "must be set when AppArmor type is Localhost"
		if a.LocalhostProfile == nil {
			return field.ErrorList{field.Required(profile, missing)}
		}
		var errs field.ErrorList
		if name := *a.LocalhostProfile; strings.TrimSpace(name) != name {
			errs = append(errs, field.Invalid(profile, name, "must not be padded with whitespace"))
		} else if name == "" {
			errs = append(errs, field.Required(profile, missing))
		}
		if len(*a.LocalhostProfile) > maxAppArmorProfile {
			errs = append(errs, field.TooLong(profile, "" /* not shown */, maxAppArmorProfile))
		}
		return errs
	case corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined:
		if a.LocalhostProfile != nil {
			return field.ErrorList{field.Invalid(profile, a.LocalhostProfile, "can only be set when AppArmor type is Localhost")}
		}
		return nil
	case "":
		return field.ErrorList{field.Required(at.Child("type"), "type is required when appArmorProfile is set")}
	}
	return field.ErrorList{field.NotSupported(at.Child("type"), a.Type, []corev1.AppArmorProfileType{corev1.AppArmorProfileTypeLocalhost, corev1.AppArmorProfileTypeRuntimeDefault, corev1.AppArmorProfileTypeUnconfined})}
}

// Limits that Windows sets.
const (
	maxGMSACredentialSpecKiB = 64
	maxWindowsUser           = 104 // characters
	maxWindowsDomain         = 256
)

var (
	controlCharacters = regexp.MustCompile(`[[:cntrl:]]+`)
	netBIOSDomain     = regexp.MustCompile(`^[^\\/:\*\?"<>|\.][^\\/:\*\?"<>|]{0,14}$`)
	dnsDomain         = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$`)
	notInUserName     = regexp.MustCompile(`["/\\:;|=,\+\*\?<>@\[\]]`)
)

func validateWindowsOptions(w *corev1.WindowsSecurityContextOptions, at *field.Path) field.ErrorList {
	if w == nil {
		return nil
	}
	var errs field.ErrorList
	if n := w.GMSACredentialSpecName; n != nil {
		errs = append(errs, check.Messages(validation.IsDNS1123Subdomain(*n), n, at.Child("gmsaCredentialSpecName"))...)
	}
	if c := w.GMSACredentialSpec; c != nil {
		at := at.Child("gmsaCredentialSpec")
		if len(*c) == 0 {
			errs = append(errs, field.Invalid(at, c, "gmsaCredentialSpec cannot be an empty string"))
		} else if len(*c) > maxGMSACredentialSpecKiB*1024 {
			errs = append(errs, field.Invalid(at, c, fmt.Sprintf("gmsaCredentialSpec size must be under %d KiB", maxGMSACredentialSpecKiB)))
		}
	}
	if w.RunAsUserName != nil {
		errs = append(errs, validateWindowsUser(*w.RunAsUserName, at.Child("runAsUserName"))...)
	}
	return errs
}

func validateWindowsUser(name string, at *field.Path) field.ErrorList {
	bad := func(why string) field.ErrorList { return field.ErrorList{field.Invalid(at, name, why)} }
	if name == "" {
		return bad("runAsUserName cannot be an empty string")
	}
	if controlCharacters.MatchString(name) {
		return bad("runAsUserName cannot contain control characters")
	}
	parts := strings.Split(name, `\`)
	if len(parts) > 2 {
		return bad("runAsUserName cannot contain more than one backslash")
	}
	var errs field.ErrorList
	user := parts[len(parts)-1]
	if len(parts) == 2 {
		domain := parts[0]
		if len(domain) >= maxWindowsDomain {
			errs = append(errs, bad(fmt.Sprintf("runAsUserName's Domain length must be under %d characters", maxWindowsDomain))...)
		}
		if !netBIOSDomain.MatchString(domain) && !dnsDomain.MatchString(domain) {
			errs = append(errs, bad("runAsUserName's Domain doesn't match the NetBios nor the DNS format")...)
		}
	}
	switch {
	case user == "":
		errs = append(errs, bad("runAsUserName's User cannot be empty")...)
	case len(user) > maxWindowsUser:
		errs = append(errs, bad(fmt.Sprintf("runAsUserName's User length must not be longer than %d characters", maxWindowsUser))...)
	}
	if user != "" && strings.Trim(user, ". ") == "" {
		errs = append(errs, bad("runAsUserName's User cannot contain only periods or spaces")...)
	}
	if notInUserName.MatchString(user) {
		errs = append(errs, bad("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")...)
	}
	return errs
}
