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

func validatePodSecurityContext(spec *corev1.PodSpec, opts PodSpecOptions, at *field.Path) field.ErrorList {
	s := spec.SecurityContext
	if s == nil {
		return nil
	}
	var errs field.ErrorList
	if g := s.FSGroup; g != nil {
		errs = append(errs, check.Messages(validation.IsValidGroupID(*g), *g, at.Child("fsGroup"))...)
	}
	errs = append(errs, validateIDs(s.RunAsUser, s.RunAsGroup, at)...)
	for i, g := range s.SupplementalGroups {
		errs = append(errs, check.Messages(validation.IsValidGroupID(g), g, at.Child("supplementalGroups").Index(i))...)
	}
	if spec.HostPID && ptr.Deref(spec.ShareProcessNamespace, false) {
		errs = append(errs, field.Invalid(at.Child("shareProcessNamespace"), true, "ShareProcessNamespace and HostPID cannot both be enabled"))
	}
	errs = append(errs, validateSysctls(spec, opts, at.Child("sysctls"))...)
	if p := s.FSGroupChangePolicy; p != nil {
		errs = append(errs, check.OneOf(*p, []corev1.PodFSGroupChangePolicy{corev1.FSGroupChangeAlways, corev1.FSGroupChangeOnRootMismatch}, at.Child("fsGroupChangePolicy"))...)
	}
	errs = append(errs, validateSeccomp(s.SeccompProfile, at.Child("seccompProfile"))...)
	errs = append(errs, validateWindowsOptions(s.WindowsOptions, at.Child("windowsOptions"))...)
	errs = append(errs, validateAppArmor(s.AppArmorProfile, at.Child("appArmorProfile"))...)
	if p := s.SupplementalGroupsPolicy; p != nil {
		errs = append(errs, check.OneOf(*p, []corev1.SupplementalGroupsPolicy{corev1.SupplementalGroupsPolicyMerge, corev1.SupplementalGroupsPolicyStrict}, at.Child("supplementalGroupsPolicy"))...)
	}
	if p := s.SELinuxChangePolicy; p != nil {
		errs = append(errs, check.OneOf(*p, seLinuxPolicies(opts), at.Child("seLinuxChangePolicy"))...)
	}
	return errs
}

// seLinuxPolicies are the ways to label volumes. Mounting with a label waits for a
// feature that is off by default in this release.
func seLinuxPolicies(opts PodSpecOptions) []corev1.PodSELinuxChangePolicy {
	if opts.AnySELinuxPolicy {
		return []corev1.PodSELinuxChangePolicy{corev1.SELinuxChangePolicyMountOption, corev1.SELinuxChangePolicyRecursive}
	}
	return []corev1.PodSELinuxChangePolicy{corev1.SELinuxChangePolicyRecursive}
}

const maxSysctlName = 253

var sysctlName = regexp.MustCompile(`^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`)

func validateSysctls(spec *corev1.PodSpec, opts PodSpecOptions, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	seen := map[string]bool{}
	for i, s := range spec.SecurityContext.Sysctls {
		at := at.Index(i).Child("name")
		switch {
		case s.Name == "":
			errs = append(errs, field.Required(at, ""))
		case len(s.Name) > maxSysctlName || !sysctlName.MatchString(s.Name):
			errs = append(errs, field.Invalid(at, s.Name, fmt.Sprintf("must have at most %d characters and match regex %s", maxSysctlName, sysctlName)))
		case seen[s.Name]:
			errs = append(errs, field.Duplicate(at, s.Name))
		}
		if !opts.HostSysctls {
			errs = append(errs, validateHostSysctl(spec, s.Name, at)...)
		}
		seen[s.Name] = true
	}
	return errs
}

func validateHostSysctls(spec *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, s := range spec.SecurityContext.Sysctls {
		errs = append(errs, validateHostSysctl(spec, s.Name, at)...)
	}
	return errs
}

// validateHostSysctl refuses to set for a pod what it shares with the host.
func validateHostSysctl(spec *corev1.PodSpec, name string, at *field.Path) field.ErrorList {
	// Either separator may come first, and then the other stands for itself.
	if i := strings.IndexAny(name, "./"); i >= 0 && name[i] == '/' {
		name = strings.NewReplacer(".", "/", "/", ".").Replace(name)
	}
	switch {
	case spec.HostNetwork && strings.HasPrefix(name, "net."):
		return field.ErrorList{field.Invalid(at, name, "may not be specified when 'hostNetwork' is true")}
	case spec.HostIPC && isIPCSysctl(name):
		return field.ErrorList{field.Invalid(at, name, "may not be specified when 'hostIPC' is true")}
	}
	return nil
}

func isIPCSysctl(name string) bool {
	return name == "kernel.sem" || strings.HasPrefix(name, "kernel.shm") || strings.HasPrefix(name, "kernel.msg") || strings.HasPrefix(name, "fs.mqueue.")
}

// eachContainerAt visits all containers with their paths, in the order in
// which upstream reports on them.
func eachContainerAt(s *corev1.PodSpec, at *field.Path, f func(c *corev1.Container, at *field.Path)) {
	for i := range s.InitContainers {
		f(&s.InitContainers[i], at.Child("initContainers").Index(i))
	}
	for i := range s.Containers {
		f(&s.Containers[i], at.Child("containers").Index(i))
	}
	for i := range s.EphemeralContainers {
		f((*corev1.Container)(&s.EphemeralContainers[i].EphemeralContainerCommon), at.Child("ephemeralContainers").Index(i))
	}
}

// validateOS forbids what the operating system of the pod does not have.
func validateOS(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	if s.OS == nil {
		return nil
	}
	if s.OS.Name == "" {
		return field.ErrorList{field.Required(at.Child("os", "name"), "cannot be empty")}
	}
	if errs := check.OneOf(s.OS.Name, []corev1.OSName{corev1.Linux, corev1.Windows}, at.Child("os")); len(errs) > 0 {
		return errs
	}
	if s.OS.Name == corev1.Linux {
		return validateLinux(s, at)
	}
	return validateWindows(s, at)
}

func validateLinux(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	refuse := func(w *corev1.WindowsSecurityContextOptions, at *field.Path) {
		if w != nil {
			errs = append(errs, field.Forbidden(at.Child("securityContext", "windowsOptions"), "windows options cannot be set for a linux pod"))
		}
	}
	if s.SecurityContext != nil {
		refuse(s.SecurityContext.WindowsOptions, at)
	}
	eachContainerAt(s, at, func(c *corev1.Container, at *field.Path) {
		if c.SecurityContext != nil {
			refuse(c.SecurityContext.WindowsOptions, at)
		}
	})
	return errs
}

func validateWindows(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	refuse := func(set bool, at *field.Path) {
		if set {
			errs = append(errs, field.Forbidden(at, "cannot be set for a windows pod"))
		}
	}
	if c := s.SecurityContext; c != nil {
		sc := at.Child("securityContext")
		refuse(c.AppArmorProfile != nil, sc.Child("appArmorProfile"))
		refuse(c.SELinuxOptions != nil, sc.Child("seLinuxOptions"))
		refuse(s.HostUsers != nil, at.Child("hostUsers"))
		refuse(s.HostPID, at.Child("hostPID"))
		refuse(s.HostIPC, at.Child("hostIPC"))
		refuse(c.SeccompProfile != nil, sc.Child("seccompProfile"))
		refuse(c.FSGroup != nil, sc.Child("fsGroup"))
		refuse(c.FSGroupChangePolicy != nil, sc.Child("fsGroupChangePolicy"))
		refuse(len(c.Sysctls) > 0, sc.Child("sysctls"))
		refuse(s.ShareProcessNamespace != nil, at.Child("shareProcessNamespace"))
		refuse(c.RunAsUser != nil, sc.Child("runAsUser"))
		refuse(c.RunAsGroup != nil, sc.Child("runAsGroup"))
		refuse(c.SupplementalGroups != nil, sc.Child("supplementalGroups"))
		refuse(c.SupplementalGroupsPolicy != nil, sc.Child("supplementalGroupsPolicy"))
		refuse(c.SELinuxChangePolicy != nil, sc.Child("seLinuxChangePolicy"))
	}
	eachContainerAt(s, at, func(c *corev1.Container, at *field.Path) {
		sc := c.SecurityContext
		if sc == nil {
			return
		}
		at = at.Child("securityContext")
		refuse(sc.AppArmorProfile != nil, at.Child("appArmorProfile"))
		refuse(sc.SELinuxOptions != nil, at.Child("seLinuxOptions"))
		refuse(sc.SeccompProfile != nil, at.Child("seccompProfile"))
		refuse(sc.Capabilities != nil, at.Child("capabilities"))
		refuse(sc.ReadOnlyRootFilesystem != nil, at.Child("readOnlyRootFilesystem"))
		refuse(sc.Privileged != nil, at.Child("privileged"))
		refuse(sc.AllowPrivilegeEscalation != nil, at.Child("allowPrivilegeEscalation"))
		refuse(sc.ProcMount != nil, at.Child("procMount"))
		refuse(sc.RunAsUser != nil, at.Child("runAsUser"))
		refuse(sc.RunAsGroup != nil, at.Child("runAsGroup"))
	})
	return errs
}

// validateHostProcess: a Windows pod runs on the host itself with all of its
// containers or with none.
func validateHostProcess(s *corev1.PodSpec, at *field.Path) field.ErrorList {
	var pod *bool
	if s.SecurityContext != nil {
		pod = hostProcess(s.SecurityContext.WindowsOptions)
	}
	var errs field.ErrorList
	all, some := true, false
	eachContainerAt(s, at, func(c *corev1.Container, at *field.Path) {
		var own *bool
		if c.SecurityContext != nil {
			own = hostProcess(c.SecurityContext.WindowsOptions)
		}
		if pod != nil && own != nil && *pod != *own {
			errs = append(errs, field.Invalid(at.Child("securityContext", "windowsOptions", "hostProcess"), *own,
				fmt.Sprintf("pod hostProcess value must be identical if both are specified, was %v", *pod)))
		}
		on := ptr.Deref(own, ptr.Deref(pod, false))
		all, some = all && on, some || on
	})
	if !some {
		return errs
	}
	if !all {
		errs = append(errs, field.Invalid(at, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers"))
	}
	if !s.HostNetwork {
		errs = append(errs, field.Invalid(at.Child("hostNetwork"), s.HostNetwork, "hostNetwork must be true if pod contains any hostProcess containers"))
	}
	return errs
}

func hostProcess(w *corev1.WindowsSecurityContextOptions) *bool {
	if w == nil {
		return nil
	}
	return w.HostProcess
}
