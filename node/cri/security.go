package cri

import (
	"errors"
	"fmt"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// What of /proc and /sys containers do not see, and do not write, by default.
var (
	maskedPaths = []string{
		"/proc/asound", "/proc/acpi", "/proc/interrupts", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
		"/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap",
	}
	readonlyPaths = []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
)

// effectiveSecurity is the container's security context with what it leaves
// open taken from the pod's.
func effectiveSecurity(pod *corev1.Pod, c *corev1.Container) corev1.SecurityContext {
	var sc corev1.SecurityContext
	if c.SecurityContext != nil {
		sc = *c.SecurityContext
	}
	if p := pod.Spec.SecurityContext; p != nil {
		if sc.SELinuxOptions == nil {
			sc.SELinuxOptions = p.SELinuxOptions
		}
		if sc.RunAsUser == nil {
			sc.RunAsUser = p.RunAsUser
		}
		if sc.RunAsGroup == nil {
			sc.RunAsGroup = p.RunAsGroup
		}
		if sc.RunAsNonRoot == nil {
			sc.RunAsNonRoot = p.RunAsNonRoot
		}
		if sc.SeccompProfile == nil {
			sc.SeccompProfile = p.SeccompProfile
		}
	}
	return sc
}

// checkNonRoot refuses a container that promises not to run as root and would,
// or for which that cannot be told.
func checkNonRoot(pod *corev1.Pod, c *corev1.Container, sc corev1.SecurityContext, user ImageUser) error {
	if !isTrue(sc.RunAsNonRoot) {
		return nil
	}
	name := PodString(pod)
	if sc.RunAsUser != nil {
		if *sc.RunAsUser == 0 {
			return fmt.Errorf("container's runAsUser breaks non-root policy (pod: %q, container: %s)", name, c.Name)
		}
		return nil
	}
	switch {
	case user.UID != nil && *user.UID == 0, user.UID == nil && user.Name == "":
		return fmt.Errorf("container has runAsNonRoot and image will run as root (pod: %q, container: %s)", name, c.Name)
	case user.UID == nil:
		return fmt.Errorf("container has runAsNonRoot and image has non-numeric user (%s), cannot verify user is non-root (pod: %q, container: %s)", user.Name, name, c.Name)
	}
	return nil
}

// PodString names a pod in messages: name_namespace(uid).
func PodString(pod *corev1.Pod) string {
	return fmt.Sprintf("%s_%s(%s)", pod.Name, pod.Namespace, pod.UID)
}

// containerSecurity is the container's security context for the runtime. The
// user is always given, even where the image decides it, so that a restart
// runs as the same one (CVE-2019-11245).
func containerSecurity(in ContainerInput) (*runtimeapi.LinuxContainerSecurityContext, error) {
	sc := effectiveSecurity(in.Pod, in.Container)
	if err := checkNonRoot(in.Pod, in.Container, sc, in.ImageUser); err != nil {
		return nil, err
	}
	out := &runtimeapi.LinuxContainerSecurityContext{
		Privileged:       isTrue(sc.Privileged),
		ReadonlyRootfs:   isTrue(sc.ReadOnlyRootFilesystem),
		NoNewPrivs:       sc.AllowPrivilegeEscalation != nil && !*sc.AllowPrivilegeEscalation,
		SelinuxOptions:   selinux(sc.SELinuxOptions),
		NamespaceOptions: namespaces(in.PodInput, in.TargetID),
		RunAsUser:        int64Value(sc.RunAsUser),
		RunAsGroup:       int64Value(sc.RunAsGroup),
	}
	if sc.ProcMount == nil || *sc.ProcMount != corev1.UnmaskedProcMount {
		out.MaskedPaths, out.ReadonlyPaths = maskedPaths, readonlyPaths
	}
	if sc.Capabilities != nil {
		out.Capabilities = &runtimeapi.Capability{
			AddCapabilities:  capabilities(sc.Capabilities.Add),
			DropCapabilities: capabilities(sc.Capabilities.Drop),
		}
	}
	if out.RunAsUser == nil {
		switch {
		case in.ImageUser.UID != nil:
			out.RunAsUser = int64Value(in.ImageUser.UID)
		case in.ImageUser.Name != "":
			out.RunAsUsername = in.ImageUser.Name
		default:
			out.RunAsUser = &runtimeapi.Int64Value{}
		}
	}
	out.SupplementalGroups, out.SupplementalGroupsPolicy = groups(in.Pod.Spec.SecurityContext)
	var err error
	if out.Seccomp, err = seccomp(in.Node, sc.SeccompProfile); err != nil {
		return nil, err
	}
	if out.Apparmor, err = appArmor(in.Pod, in.Container); err != nil {
		return nil, err
	}
	if out.Apparmor != nil {
		out.ApparmorProfile = oldAppArmor(out.Apparmor)
	}
	return out, nil
}

func sandboxSecurity(in PodInput) *runtimeapi.LinuxSandboxSecurityContext {
	out := &runtimeapi.LinuxSandboxSecurityContext{
		Privileged:       privileged(in.Pod),
		NamespaceOptions: namespaces(in, ""),
		// The sandbox runs nothing but pause.
		Seccomp: &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault},
	}
	if sc := in.Pod.Spec.SecurityContext; sc != nil {
		out.RunAsUser = int64Value(sc.RunAsUser)
		out.RunAsGroup = int64Value(sc.RunAsGroup)
		out.SelinuxOptions = selinux(sc.SELinuxOptions)
	}
	out.SupplementalGroups, out.SupplementalGroupsPolicy = groups(in.Pod.Spec.SecurityContext)
	return out
}

// privileged says whether any container is; its sandbox must then be too.
func privileged(pod *corev1.Pod) bool {
	is := func(sc *corev1.SecurityContext) bool { return sc != nil && isTrue(sc.Privileged) }
	for i := range pod.Spec.InitContainers {
		if is(pod.Spec.InitContainers[i].SecurityContext) {
			return true
		}
	}
	for i := range pod.Spec.Containers {
		if is(pod.Spec.Containers[i].SecurityContext) {
			return true
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if is(pod.Spec.EphemeralContainers[i].SecurityContext) {
			return true
		}
	}
	return false
}

func namespaces(in PodInput, target string) *runtimeapi.NamespaceOption {
	s := &in.Pod.Spec
	o := &runtimeapi.NamespaceOption{
		Network:       runtimeapi.NamespaceMode_POD,
		Ipc:           runtimeapi.NamespaceMode_POD,
		Pid:           runtimeapi.NamespaceMode_CONTAINER,
		UsernsOptions: in.UserNamespace,
	}
	if s.HostNetwork {
		o.Network = runtimeapi.NamespaceMode_NODE
	}
	if s.HostIPC {
		o.Ipc = runtimeapi.NamespaceMode_NODE
	}
	switch {
	case target != "":
		o.Pid, o.TargetId = runtimeapi.NamespaceMode_TARGET, target
	case s.HostPID:
		o.Pid = runtimeapi.NamespaceMode_NODE
	case isTrue(s.ShareProcessNamespace):
		o.Pid = runtimeapi.NamespaceMode_POD
	}
	return o
}

func groups(sc *corev1.PodSecurityContext) ([]int64, runtimeapi.SupplementalGroupsPolicy) {
	if sc == nil {
		return nil, runtimeapi.SupplementalGroupsPolicy_Merge
	}
	var g []int64
	if sc.FSGroup != nil {
		g = append(g, *sc.FSGroup)
	}
	g = append(g, sc.SupplementalGroups...)
	if p := sc.SupplementalGroupsPolicy; p != nil && *p == corev1.SupplementalGroupsPolicyStrict {
		return g, runtimeapi.SupplementalGroupsPolicy_Strict
	}
	return g, runtimeapi.SupplementalGroupsPolicy_Merge
}

// seccomp resolves a profile. A local one must name its file: an empty name
// once meant no profile at all (CVE-2023-2431).
func seccomp(n *Node, p *corev1.SeccompProfile) (*runtimeapi.SecurityProfile, error) {
	switch {
	case p == nil && n.SeccompDefault, p != nil && p.Type == corev1.SeccompProfileTypeRuntimeDefault:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}, nil
	case p != nil && p.Type == corev1.SeccompProfileTypeLocalhost:
		if p.LocalhostProfile == nil || *p.LocalhostProfile == "" {
			return nil, errors.New("localhostProfile must be set if seccompProfile type is Localhost.")
		}
		if !filepath.IsLocal(*p.LocalhostProfile) {
			return nil, fmt.Errorf("seccompProfile.localhostProfile %q must be a path below the node's seccomp directory", *p.LocalhostProfile)
		}
		return &runtimeapi.SecurityProfile{
			ProfileType:  runtimeapi.SecurityProfile_Localhost,
			LocalhostRef: filepath.Join(n.Root, "seccomp", *p.LocalhostProfile),
		}, nil
	}
	return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}, nil
}

// appArmor resolves a profile: the container's field, then the old annotation,
// then the pod's field; nil leaves it to the runtime.
func appArmor(pod *corev1.Pod, c *corev1.Container) (*runtimeapi.SecurityProfile, error) {
	var p *corev1.AppArmorProfile
	if c.SecurityContext != nil {
		p = c.SecurityContext.AppArmorProfile
	}
	if p == nil {
		p = appArmorAnnotation(pod.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+c.Name])
	}
	if p == nil && pod.Spec.SecurityContext != nil {
		p = pod.Spec.SecurityContext.AppArmorProfile
	}
	if p == nil {
		return nil, nil
	}
	switch p.Type {
	case corev1.AppArmorProfileTypeRuntimeDefault:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_RuntimeDefault}, nil
	case corev1.AppArmorProfileTypeUnconfined:
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Unconfined}, nil
	case corev1.AppArmorProfileTypeLocalhost:
		if p.LocalhostProfile == nil || *p.LocalhostProfile == "" {
			return nil, errors.New("missing localhost apparmor profile name")
		}
		return &runtimeapi.SecurityProfile{ProfileType: runtimeapi.SecurityProfile_Localhost, LocalhostRef: *p.LocalhostProfile}, nil
	}
	return nil, fmt.Errorf("unknown AppArmor profile type: %q", p.Type)
}

const appArmorLocal = corev1.DeprecatedAppArmorBetaProfileNamePrefix

func appArmorAnnotation(v string) *corev1.AppArmorProfile {
	switch {
	case v == corev1.DeprecatedAppArmorBetaProfileRuntimeDefault:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}
	case v == corev1.DeprecatedAppArmorBetaProfileNameUnconfined:
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeUnconfined}
	case len(v) > len(appArmorLocal) && v[:len(appArmorLocal)] == appArmorLocal:
		name := v[len(appArmorLocal):]
		return &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost, LocalhostProfile: &name}
	}
	return nil
}

// oldAppArmor is the profile in the string form that older runtimes read.
func oldAppArmor(p *runtimeapi.SecurityProfile) string {
	switch p.ProfileType {
	case runtimeapi.SecurityProfile_RuntimeDefault:
		return corev1.DeprecatedAppArmorBetaProfileRuntimeDefault
	case runtimeapi.SecurityProfile_Localhost:
		return appArmorLocal + p.LocalhostRef
	}
	return corev1.DeprecatedAppArmorBetaProfileNameUnconfined
}

func selinux(o *corev1.SELinuxOptions) *runtimeapi.SELinuxOption {
	if o == nil {
		return nil
	}
	return &runtimeapi.SELinuxOption{User: o.User, Role: o.Role, Type: o.Type, Level: o.Level}
}

func capabilities(in []corev1.Capability) []string {
	out := make([]string, len(in))
	for i, c := range in {
		out[i] = string(c)
	}
	return out
}

func int64Value(v *int64) *runtimeapi.Int64Value {
	if v == nil {
		return nil
	}
	return &runtimeapi.Int64Value{Value: *v}
}
