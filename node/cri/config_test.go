package cri

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// k/k 63814, 129385: an upgrade restarts every container whose hash changes.
// These numbers are what upstream writes; they never change.
func TestHashIsStableAcrossReleases(t *testing.T) {
	t.Parallel()
	c := &corev1.Container{Name: "test_container", Image: "foo/image:v1"}
	if got := Hash(c); got != 0x8e45cbd0 {
		t.Errorf("%#x", got)
	}
	same := c.DeepCopy()
	same.Command, same.Env = []string{"x"}, []corev1.EnvVar{{Name: "A"}}
	if Hash(same) != Hash(c) {
		t.Error("more than name and image count")
	}
	same.Image = "foo/image:v2"
	if Hash(same) == Hash(c) {
		t.Error("the image does not count")
	}
}

func TestLabelsAnnotationsAndPaths(t *testing.T) {
	t.Parallel()
	in := input()
	in.RestartCount = 3
	in.Pod.Spec.TerminationGracePeriodSeconds = ptr(int64(30))
	in.Pod.DeletionGracePeriodSeconds = ptr(int64(5))
	in.Container.TerminationMessagePath, in.Container.TerminationMessagePolicy = "/dev/termination-log", corev1.TerminationMessageReadFile
	in.Container.Ports = []corev1.ContainerPort{{ContainerPort: 80, Protocol: corev1.ProtocolTCP}}
	in.Container.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"bye"}}}}
	c, err := ContainerConfig(in)
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{
		"io.kubernetes.container.restartCount":             "3",
		"io.kubernetes.container.terminationMessagePath":   "/dev/termination-log",
		"io.kubernetes.container.terminationMessagePolicy": "File",
		"io.kubernetes.pod.terminationGracePeriod":         "30",
		"io.kubernetes.pod.deletionGracePeriod":            "5",
		"io.kubernetes.container.ports":                    `[{"containerPort":80,"protocol":"TCP"}]`,
		"io.kubernetes.container.preStopHandler":           `{"exec":{"command":["bye"]}}`,
	} {
		if got := c.Annotations[k]; got != want {
			t.Errorf("%s = %q, want %q", k, got, want)
		}
	}
	if len(c.Labels) != 4 || c.Labels["io.kubernetes.container.name"] != "c" || c.Labels["app"] != "" {
		t.Errorf("labels %v", c.Labels)
	}
	if c.LogPath != "c/3.log" || c.Metadata.Attempt != 3 {
		t.Errorf("%s %d", c.LogPath, c.Metadata.Attempt)
	}
	s, _, err := SandboxConfig(in.PodInput)
	if err != nil || s.LogDirectory != "/logs/ns_web-1_uid-1" || s.Labels["app"] != "web" || s.Labels["io.kubernetes.pod.uid"] != "uid-1" {
		t.Errorf("%+v %v", s, err)
	}
	long := LegacyLogLink("/l", strings.Repeat("a", 64), "c", strings.Repeat("p", 253), "ns")
	if name := strings.TrimPrefix(long, "/l/"); len(name) != 255 || !strings.HasSuffix(name, ".log") {
		t.Errorf("%d %s", len(name), name)
	}
}

func TestRunAsNonRootInTheWordsOfUpstream(t *testing.T) {
	t.Parallel()
	root, other := int64(0), int64(1000)
	for name, tc := range map[string]struct {
		sc   *corev1.SecurityContext
		pod  *corev1.PodSecurityContext
		user ImageUser
		want string
	}{
		"image root":     {&corev1.SecurityContext{RunAsNonRoot: ptr(true)}, nil, ImageUser{UID: &root}, `container has runAsNonRoot and image will run as root (pod: "web-1_ns(uid-1)", container: c)`},
		"image unset":    {&corev1.SecurityContext{RunAsNonRoot: ptr(true)}, nil, ImageUser{}, `container has runAsNonRoot and image will run as root (pod: "web-1_ns(uid-1)", container: c)`},
		"image by name":  {&corev1.SecurityContext{RunAsNonRoot: ptr(true)}, nil, ImageUser{Name: "www"}, `container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root (pod: "web-1_ns(uid-1)", container: c)`},
		"runAsUser root": {&corev1.SecurityContext{RunAsNonRoot: ptr(true), RunAsUser: &root}, nil, ImageUser{UID: &other}, `container's runAsUser breaks non-root policy (pod: "web-1_ns(uid-1)", container: c)`},
		"pod says so":    {nil, &corev1.PodSecurityContext{RunAsNonRoot: ptr(true)}, ImageUser{UID: &root}, `container has runAsNonRoot and image will run as root (pod: "web-1_ns(uid-1)", container: c)`},
		"fine":           {&corev1.SecurityContext{RunAsNonRoot: ptr(true)}, nil, ImageUser{UID: &other}, ""},
		"overridden":     {&corev1.SecurityContext{RunAsNonRoot: ptr(false)}, &corev1.PodSecurityContext{RunAsNonRoot: ptr(true)}, ImageUser{}, ""},
		"user wins":      {&corev1.SecurityContext{RunAsUser: &other}, &corev1.PodSecurityContext{RunAsNonRoot: ptr(true)}, ImageUser{Name: "root"}, ""},
	} {
		in := input()
		in.Container.SecurityContext, in.Pod.Spec.SecurityContext, in.ImageUser = tc.sc, tc.pod, tc.user
		_, err := ContainerConfig(in)
		if tc.want == "" && err != nil || tc.want != "" && (err == nil || err.Error() != tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// CVE-2019-11245: a restarted container ran as root where the image's user was
// left to the runtime.
func TestTheUserIsAlwaysGiven(t *testing.T) {
	t.Parallel()
	for attempt := range 2 {
		in := input()
		in.RestartCount, in.ImageUser = attempt, ImageUser{UID: ptr(int64(101))}
		c, err := ContainerConfig(in)
		if err != nil || c.Linux.SecurityContext.RunAsUser.GetValue() != 101 {
			t.Errorf("attempt %d: %v %v", attempt, c.GetLinux().GetSecurityContext().GetRunAsUser(), err)
		}
	}
	in := input()
	in.ImageUser.Name = "www"
	if c, _ := ContainerConfig(in); c.Linux.SecurityContext.RunAsUser != nil || c.Linux.SecurityContext.RunAsUsername != "www" {
		t.Error("name")
	}
	in.ImageUser.Name = ""
	if c, _ := ContainerConfig(in); c.Linux.SecurityContext.RunAsUser == nil {
		t.Error("root is not said")
	}
}

// CVE-2023-2431: an empty Localhost profile once ran the container unconfined.
func TestSeccomp(t *testing.T) {
	t.Parallel()
	local := corev1.SeccompProfileTypeLocalhost
	for name, tc := range map[string]struct {
		c, pod *corev1.SeccompProfile
		def    bool
		want   string
	}{
		"unset":            {nil, nil, false, "Unconfined "},
		"default on":       {nil, nil, true, "RuntimeDefault "},
		"pod":              {nil, &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}, false, "RuntimeDefault "},
		"container wins":   {&corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}, &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}, true, "Unconfined "},
		"local":            {&corev1.SeccompProfile{Type: local, LocalhostProfile: ptr("a/b.json")}, nil, false, "Localhost /root/seccomp/a/b.json"},
		"local, empty":     {&corev1.SeccompProfile{Type: local, LocalhostProfile: ptr("")}, nil, false, "localhostProfile must be set if seccompProfile type is Localhost."},
		"local, unset":     {&corev1.SeccompProfile{Type: local}, nil, false, "localhostProfile must be set if seccompProfile type is Localhost."},
		"pod local, empty": {nil, &corev1.SeccompProfile{Type: local}, true, "localhostProfile must be set if seccompProfile type is Localhost."},
		"local, outside":   {&corev1.SeccompProfile{Type: local, LocalhostProfile: ptr("../../etc/x")}, nil, false, `seccompProfile.localhostProfile "../../etc/x" must be a path below the node's seccomp directory`},
	} {
		in := input()
		in.Node.SeccompDefault = tc.def
		in.Container.SecurityContext = &corev1.SecurityContext{SeccompProfile: tc.c}
		in.Pod.Spec.SecurityContext = &corev1.PodSecurityContext{SeccompProfile: tc.pod}
		c, err := ContainerConfig(in)
		var got string
		if err != nil {
			got = err.Error()
		} else {
			p := c.Linux.SecurityContext.Seccomp
			got = p.ProfileType.String() + " " + p.LocalhostRef
		}
		if got != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestAppArmor(t *testing.T) {
	t.Parallel()
	in := input()
	get := func() string {
		c, err := ContainerConfig(in)
		if err != nil {
			return err.Error()
		}
		return c.Linux.SecurityContext.ApparmorProfile
	}
	if got := get(); got != "" {
		t.Errorf("unset: %q", got)
	}
	in.Pod.Annotations[corev1.DeprecatedAppArmorBetaContainerAnnotationKeyPrefix+"c"] = "localhost/old"
	if got := get(); got != "localhost/old" {
		t.Errorf("annotation: %q", got)
	}
	in.Container.SecurityContext = &corev1.SecurityContext{AppArmorProfile: &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeRuntimeDefault}}
	if got := get(); got != "runtime/default" {
		t.Errorf("field: %q", got)
	}
	in.Container.SecurityContext.AppArmorProfile = &corev1.AppArmorProfile{Type: corev1.AppArmorProfileTypeLocalhost}
	if got := get(); got != "missing localhost apparmor profile name" {
		t.Errorf("empty: %q", got)
	}
}

func TestSecurityContext(t *testing.T) {
	t.Parallel()
	in := input()
	in.Pod.Spec.SecurityContext = &corev1.PodSecurityContext{
		FSGroup: ptr(int64(5)), SupplementalGroups: []int64{6, 7}, RunAsGroup: ptr(int64(8)),
		SupplementalGroupsPolicy: ptr(corev1.SupplementalGroupsPolicyStrict),
		Sysctls:                  []corev1.Sysctl{{Name: "net.a", Value: "1"}},
	}
	in.Pod.Spec.HostPID, in.Pod.Spec.HostIPC = true, true
	in.Container.SecurityContext = &corev1.SecurityContext{
		Capabilities:             &corev1.Capabilities{Add: []corev1.Capability{"NET_ADMIN"}, Drop: []corev1.Capability{"ALL"}},
		AllowPrivilegeEscalation: ptr(false), ReadOnlyRootFilesystem: ptr(true),
	}
	c, err := ContainerConfig(in)
	if err != nil {
		t.Fatal(err)
	}
	sc := c.Linux.SecurityContext
	if !sc.NoNewPrivs || !sc.ReadonlyRootfs || sc.Privileged || sc.RunAsGroup.Value != 8 ||
		len(sc.SupplementalGroups) != 3 || sc.SupplementalGroupsPolicy != runtimeapi.SupplementalGroupsPolicy_Strict ||
		sc.Capabilities.AddCapabilities[0] != "NET_ADMIN" || sc.Capabilities.DropCapabilities[0] != "ALL" ||
		len(sc.MaskedPaths) == 0 || len(sc.ReadonlyPaths) == 0 ||
		sc.NamespaceOptions.Pid != runtimeapi.NamespaceMode_NODE || sc.NamespaceOptions.Ipc != runtimeapi.NamespaceMode_NODE || sc.NamespaceOptions.Network != runtimeapi.NamespaceMode_POD {
		t.Errorf("%+v", sc)
	}
	in.Container.SecurityContext = &corev1.SecurityContext{ProcMount: ptr(corev1.UnmaskedProcMount), Privileged: ptr(true)}
	in.Pod.Spec.HostPID, in.Pod.Spec.ShareProcessNamespace = false, ptr(true)
	in.TargetID = "other"
	if c, _ = ContainerConfig(in); len(c.Linux.SecurityContext.MaskedPaths) != 0 || !c.Linux.SecurityContext.Privileged || c.Linux.SecurityContext.NamespaceOptions.TargetId != "other" {
		t.Errorf("%+v", c.Linux.SecurityContext)
	}
	s, _, err := SandboxConfig(in.PodInput)
	if err != nil || !s.Linux.SecurityContext.Privileged || s.Linux.Sysctls["net.a"] != "1" || s.Linux.SecurityContext.NamespaceOptions.Pid != runtimeapi.NamespaceMode_POD ||
		s.Linux.SecurityContext.Seccomp.ProfileType != runtimeapi.SecurityProfile_RuntimeDefault {
		t.Errorf("%+v %v", s.GetLinux(), err)
	}
}

func TestResourcesAndOOMScore(t *testing.T) {
	t.Parallel()
	in := input()
	in.Node.HugePageSizes = []string{"2MB", "1GB"}
	res := func(cpuReq, memReq, cpuLim, memLim string) {
		r := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
		for _, e := range []struct {
			l    corev1.ResourceList
			n, v string
		}{{r.Requests, "cpu", cpuReq}, {r.Requests, "memory", memReq}, {r.Limits, "cpu", cpuLim}, {r.Limits, "memory", memLim}} {
			if e.v != "" {
				e.l[corev1.ResourceName(e.n)] = resource.MustParse(e.v)
			}
		}
		in.Container.Resources = r
	}
	for _, tc := range []struct {
		cr, mr, cl, ml               string
		shares, quota, mem, oomScore int64
	}{
		{"", "", "", "", 2, 0, 0, 1000},
		{"100m", "", "", "", 102, 0, 0, 999},
		{"", "", "500m", "", 512, 50000, 0, 999},
		{"1", "2Gi", "2", "4Gi", 1024, 200000, 4 << 30, 750},
		{"1", "1Gi", "1", "1Gi", 1024, 100000, 1 << 30, -997},
		{"1", "8Gi", "", "", 1024, 0, 0, 3},
		{"1m", "", "1m", "", 2, 1000, 0, 999},
	} {
		res(tc.cr, tc.mr, tc.cl, tc.ml)
		l := Resources(in)
		if l.CpuShares != tc.shares || l.CpuQuota != tc.quota || l.MemoryLimitInBytes != tc.mem || l.OomScoreAdj != tc.oomScore || l.CpuPeriod != 100000 || len(l.HugepageLimits) != 2 {
			t.Errorf("%+v: %+v", tc, l)
		}
	}
	in.Pod.Spec.PriorityClassName = "system-node-critical"
	if got := OOMScoreAdj(in.Pod, in.Container, 8<<30); got != -997 {
		t.Errorf("critical: %d", got)
	}
	in.Pod.Spec.PriorityClassName = ""
	// A sidecar without a request of its own goes no sooner than what it serves.
	res("", "4Gi", "", "")
	in.Pod.Spec.InitContainers = []corev1.Container{{Name: "side", RestartPolicy: ptr(corev1.ContainerRestartPolicyAlways)}}
	if got := OOMScoreAdj(in.Pod, &in.Pod.Spec.InitContainers[0], 8<<30); got != 500 {
		t.Errorf("sidecar: %d", got)
	}
	in.Node.CgroupV2 = true
	if l := Resources(in); l.Unified["memory.oom.group"] != "1" {
		t.Errorf("v2: %v", l.Unified)
	}
}

func TestDNSPolicies(t *testing.T) {
	t.Parallel()
	host := ParseResolvConf([]byte("# c\nnameserver 1.1.1.1\nsearch old\nsearch corp. example.com\noptions timeout:1\n; x\n"))
	for name, tc := range map[string]struct {
		policy  corev1.DNSPolicy
		hostNet bool
		config  *corev1.PodDNSConfig
		noDNS   bool
		want    string
		warn    string
	}{
		"default of pods": {policy: corev1.DNSClusterFirst, want: "10.43.0.10|ns.svc.cluster.local svc.cluster.local cluster.local corp example.com|ndots:5"},
		"host network":    {policy: corev1.DNSClusterFirst, hostNet: true, want: "1.1.1.1|corp example.com|timeout:1"},
		"with host net":   {policy: corev1.DNSClusterFirstWithHostNet, hostNet: true, want: "10.43.0.10|ns.svc.cluster.local svc.cluster.local cluster.local corp example.com|ndots:5"},
		"the node's":      {policy: corev1.DNSDefault, want: "1.1.1.1|corp example.com|timeout:1"},
		"none": {policy: corev1.DNSNone, config: &corev1.PodDNSConfig{Nameservers: []string{"9.9.9.9"}, Searches: []string{"a"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: ptr("2")}, {Name: "edns0"}}},
			want: "9.9.9.9|a|ndots:2 edns0"},
		"merged": {policy: corev1.DNSClusterFirst, config: &corev1.PodDNSConfig{Nameservers: []string{"10.43.0.10", "8.8.8.8"}, Options: []corev1.PodDNSConfigOption{{Name: "ndots", Value: ptr("1")}}},
			want: "10.43.0.10 8.8.8.8|ns.svc.cluster.local svc.cluster.local cluster.local corp example.com|ndots:1"},
		"too many servers": {policy: corev1.DNSNone, config: &corev1.PodDNSConfig{Nameservers: []string{"1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"}},
			want: "1.1.1.1 2.2.2.2 3.3.3.3||", warn: "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: 1.1.1.1 2.2.2.2 3.3.3.3"},
		"no cluster DNS": {policy: corev1.DNSClusterFirst, noDNS: true, want: "1.1.1.1|corp example.com|timeout:1",
			warn: `pod: "web-1_ns(uid-1)". kubelet does not have ClusterDNS IP configured and cannot create Pod using "ClusterFirst" policy. Falling back to "Default" policy.`},
	} {
		in := input()
		in.Node.HostDNS = host
		if tc.noDNS {
			in.Node.ClusterDNS = nil
		}
		in.Pod.Spec.DNSPolicy, in.Pod.Spec.HostNetwork, in.Pod.Spec.DNSConfig = tc.policy, tc.hostNet, tc.config
		s, warnings, err := SandboxConfig(in.PodInput)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d := s.DnsConfig
		if got := strings.Join(d.Servers, " ") + "|" + strings.Join(d.Searches, " ") + "|" + strings.Join(d.Options, " "); got != tc.want {
			t.Errorf("%s: %s\nwant %s", name, got, tc.want)
		}
		if got := ""; len(warnings) > 0 || tc.warn != "" {
			if len(warnings) > 0 {
				got = warnings[0].Message
			}
			if got != tc.warn {
				t.Errorf("%s: warned %q", name, got)
			}
		}
	}
	in := input()
	in.Pod.Spec.DNSPolicy = "Odd"
	if _, _, err := SandboxConfig(in.PodInput); err == nil || !strings.Contains(err.Error(), "invalid DNSPolicy=Odd") {
		t.Error(err)
	}
	many := DNS{}
	for range 40 {
		many.Searches = append(many.Searches, strings.Repeat("x", 100))
	}
	if w := many.fit(); len(w) != 1 || len(strings.Join(many.Searches, " ")) > maxSearchChars {
		t.Errorf("%d paths kept, %v", len(many.Searches), w)
	}
}

func TestHostnames(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		set  func(*corev1.Pod)
		want string
	}{
		"the pod's name": {func(p *corev1.Pod) {}, "web-1"},
		"given":          {func(p *corev1.Pod) { p.Spec.Hostname = "h" }, "h"},
		"cut":            {func(p *corev1.Pod) { p.Name = strings.Repeat("a", 62) + "-b" }, strings.Repeat("a", 62)},
		"subdomain":      {func(p *corev1.Pod) { p.Spec.Subdomain = "s" }, "web-1"},
		"as FQDN":        {func(p *corev1.Pod) { p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "s", ptr(true) }, "web-1.s.ns.svc.cluster.local"},
		"FQDN too long":  {func(p *corev1.Pod) { p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = strings.Repeat("s", 60), ptr(true) }, "failed to construct FQDN from pod hostname and cluster domain"},
		"not a label":    {func(p *corev1.Pod) { p.Spec.Hostname = "A.b" }, `pod Hostname "A.b" is not a valid DNS label`},
		"override":       {func(p *corev1.Pod) { p.Spec.HostnameOverride, p.Spec.Subdomain = ptr("x.y"), "s" }, "x.y"},
		"host network":   {func(p *corev1.Pod) { p.Spec.HostNetwork = true }, ""},
	} {
		in := input()
		tc.set(in.Pod)
		s, _, err := SandboxConfig(in.PodInput)
		got := s.GetHostname()
		if err != nil {
			got = err.Error()[:min(len(err.Error()), len(tc.want))]
		}
		if got != tc.want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestPorts(t *testing.T) {
	t.Parallel()
	in := input()
	in.Container.Ports = []corev1.ContainerPort{{ContainerPort: 80, HostPort: 8080, HostIP: "1.2.3.4"}, {ContainerPort: 53, Protocol: corev1.ProtocolUDP}, {ContainerPort: 53, Protocol: corev1.ProtocolUDP}}
	in.Pod.Spec.InitContainers = []corev1.Container{
		{Name: "i", Ports: []corev1.ContainerPort{{ContainerPort: 1}}},
		{Name: "s", RestartPolicy: ptr(corev1.ContainerRestartPolicyAlways), Ports: []corev1.ContainerPort{{ContainerPort: 2}}},
	}
	s, _, err := SandboxConfig(in.PodInput)
	if err != nil || len(s.PortMappings) != 3 || s.PortMappings[1].HostPort != 8080 || s.PortMappings[1].HostIp != "1.2.3.4" || s.PortMappings[2].Protocol != runtimeapi.Protocol_UDP {
		t.Errorf("%v %v", s.GetPortMappings(), err)
	}
	in.Pod.Spec.HostNetwork = true
	if s, _, _ = SandboxConfig(in.PodInput); len(s.PortMappings) != 0 {
		t.Errorf("host network: %v", s.PortMappings)
	}
}

func TestMountOptions(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		m    corev1.VolumeMount
		no   bool
		want string
	}{
		"plain":               {corev1.VolumeMount{MountPath: "/m"}, false, "/m PROPAGATION_PRIVATE ro=false rro=false"},
		"relative":            {corev1.VolumeMount{MountPath: "m"}, false, "/m PROPAGATION_PRIVATE ro=false rro=false"},
		"from host":           {corev1.VolumeMount{MountPath: "/m", MountPropagation: ptr(corev1.MountPropagationHostToContainer)}, false, "/m PROPAGATION_HOST_TO_CONTAINER ro=false rro=false"},
		"both ways":           {corev1.VolumeMount{MountPath: "/m", MountPropagation: ptr(corev1.MountPropagationBidirectional)}, false, "/m PROPAGATION_BIDIRECTIONAL ro=false rro=false"},
		"recursive":           {corev1.VolumeMount{MountPath: "/m", ReadOnly: true, RecursiveReadOnly: ptr(corev1.RecursiveReadOnlyEnabled)}, false, "/m PROPAGATION_PRIVATE ro=true rro=true"},
		"recursive, cannot":   {corev1.VolumeMount{MountPath: "/m", ReadOnly: true, RecursiveReadOnly: ptr(corev1.RecursiveReadOnlyEnabled)}, true, `volume "v" requested recursive read-only mode, but it is not supported by the runtime`},
		"recursive, if can":   {corev1.VolumeMount{MountPath: "/m", ReadOnly: true, RecursiveReadOnly: ptr(corev1.RecursiveReadOnlyIfPossible)}, true, "/m PROPAGATION_PRIVATE ro=true rro=false"},
		"recursive, writable": {corev1.VolumeMount{MountPath: "/m", RecursiveReadOnly: ptr(corev1.RecursiveReadOnlyEnabled)}, false, `volume "v" requested recursive read-only mode, but it is not read-only`},
		"absolute subPath":    {corev1.VolumeMount{MountPath: "/m", SubPath: "/etc"}, false, "error SubPath `/etc` must not be an absolute path"},
		"subPath upwards":     {corev1.VolumeMount{MountPath: "/m", SubPath: "a/../../b"}, false, "unable to provision SubPath `a/../../b`: must not contain '..'"},
		"expression, missing": {corev1.VolumeMount{MountPath: "/m", SubPathExpr: "$(NONE)/x"}, false, "missing value for NONE"},
		"unknown volume":      {corev1.VolumeMount{Name: "w", MountPath: "/m"}, false, `cannot find volume "w" to mount into container "c"`},
	} {
		in := input()
		in.Node.NoRecursiveReadOnly = tc.no
		in.Volumes = map[string]Volume{"v": {Path: "/vol"}}
		if tc.m.Name == "" {
			tc.m.Name = "v"
		}
		in.Container.VolumeMounts = []corev1.VolumeMount{tc.m}
		got := ""
		ms, err := volumeMounts(in)
		if err != nil {
			got = err.Error()
		} else {
			m := ms[0]
			got = m.ContainerPath + " " + m.Propagation.String() + " ro=" + map[bool]string{true: "true", false: "false"}[m.Readonly] + " rro=" + map[bool]string{true: "true", false: "false"}[m.RecursiveReadOnly]
		}
		if got != tc.want {
			t.Errorf("%s: %s\nwant %s", name, got, tc.want)
		}
	}
}

func TestPrivateErrorsHideTheHost(t *testing.T) {
	t.Parallel()
	err := error(&ConfigError{ReasonConfigError, &PrivateError{"failed", errors.New("/secret/path")}})
	if err.Error() != "failed" || !strings.Contains(errors.Unwrap(errors.Unwrap(err)).Error(), "/secret/path") {
		t.Error(err)
	}
}

func TestUserNamespacesAreMadeOrRefused(t *testing.T) {
	t.Parallel()
	in := input()
	in.Pod.Spec.HostUsers = ptr(false)
	for _, u := range []*runtimeapi.UserNamespace{nil, {Mode: runtimeapi.NamespaceMode_NODE}} {
		in.UserNamespace = u
		if _, _, err := SandboxConfig(in.PodInput); err == nil {
			t.Errorf("a pod with hostUsers: false runs as the node's root (%v)", u)
		}
	}
	ids := []*runtimeapi.IDMapping{{HostId: 65536, Length: 65536}}
	in.UserNamespace = &runtimeapi.UserNamespace{Mode: runtimeapi.NamespaceMode_POD, Uids: ids, Gids: ids}
	in.Mounts = []*runtimeapi.Mount{{ContainerPath: "/m", HostPath: "/v"}}
	s, _, err := SandboxConfig(in.PodInput)
	if err != nil || s.Linux.SecurityContext.NamespaceOptions.UsernsOptions != in.UserNamespace {
		t.Errorf("%v %v", s, err)
	}
	c, err := ContainerConfig(in)
	if err != nil || len(c.Mounts[0].UidMappings) != 1 || c.Mounts[0].HostPath != "/v" || len(in.Mounts[0].UidMappings) != 0 {
		t.Errorf("%v %v", c.GetMounts(), err)
	}
}
