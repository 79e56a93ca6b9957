package node

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/yaml"

	"proa/node/cgroup"
	"proa/node/evict"
)

// LoadKubelet reads a KubeletConfiguration file of upstream's kind. Unknown
// fields are errors. Fields that this agent has no use for (CPU, memory and
// topology managers, swap, tracing, iptables) are accepted and do nothing.
func LoadKubelet(path string) (kubeletconfig.KubeletConfiguration, error) {
	var k kubeletconfig.KubeletConfiguration
	data, err := os.ReadFile(path)
	if err != nil {
		return k, fmt.Errorf("read the agent's configuration: %w", err)
	}
	if err := yaml.UnmarshalStrict(data, &k); err != nil {
		return k, fmt.Errorf("%s is not a valid KubeletConfiguration: %w", path, err)
	}
	if k.Kind != "" && k.Kind != "KubeletConfiguration" {
		return k, fmt.Errorf("%s is a %s, want a KubeletConfiguration", path, k.Kind)
	}
	if k.APIVersion != "" && k.APIVersion != kubeletconfig.SchemeGroupVersion.String() {
		return k, fmt.Errorf("%s has apiVersion %s, want %s", path, k.APIVersion, kubeletconfig.SchemeGroupVersion)
	}
	// Relative paths are meant from the file's folder.
	dir := filepath.Dir(path)
	for _, p := range []*string{&k.StaticPodPath, &k.TLSCertFile, &k.TLSPrivateKeyFile, &k.Authentication.X509.ClientCAFile} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(dir, *p)
		}
	}
	return k, nil
}

// DefaultKubelet fills what was left out with upstream's defaults.
func DefaultKubelet(k *kubeletconfig.KubeletConfiguration) {
	str := func(p *string, v string) {
		if *p == "" {
			*p = v
		}
	}
	dur := func(p *metav1.Duration, v time.Duration) {
		if p.Duration == 0 {
			p.Duration = v
		}
	}
	num := func(p *int32, v int32) {
		if *p == 0 {
			*p = v
		}
	}
	k.EnableServer = ptr.To(ptr.Deref(k.EnableServer, true))
	k.RegisterNode = ptr.To(ptr.Deref(k.RegisterNode, true))
	str(&k.PodLogsDir, "/var/log/pods")
	str(&k.Address, "0.0.0.0")
	num(&k.Port, 10250)
	str(&k.HealthzBindAddress, "127.0.0.1")
	k.HealthzPort = ptr.To(ptr.Deref(k.HealthzPort, 10248))
	dur(&k.SyncFrequency, time.Minute)
	dur(&k.FileCheckFrequency, 20*time.Second)
	dur(&k.HTTPCheckFrequency, 20*time.Second)
	dur(&k.NodeStatusUpdateFrequency, 10*time.Second)
	dur(&k.NodeStatusReportFrequency, 5*time.Minute)
	num(&k.NodeLeaseDurationSeconds, 40)
	dur(&k.RuntimeRequestTimeout, 2*time.Minute)
	dur(&k.StreamingConnectionIdleTimeout, 4*time.Hour)
	num(&k.MaxPods, 110)
	str(&k.CgroupDriver, string(cgroup.Cgroupfs))
	str(&k.CgroupRoot, "/")
	k.CPUCFSQuota = ptr.To(ptr.Deref(k.CPUCFSQuota, true))
	if k.CPUCFSQuotaPeriod == nil {
		k.CPUCFSQuotaPeriod = &metav1.Duration{Duration: 100 * time.Millisecond}
	}
	if k.ResolverConfig == nil {
		k.ResolverConfig = ptr.To("/etc/resolv.conf")
	}
	k.SeccompDefault = ptr.To(ptr.Deref(k.SeccompDefault, false))
	k.SerializeImagePulls = ptr.To(ptr.Deref(k.SerializeImagePulls, ptr.Deref(k.MaxParallelImagePulls, 1) < 2))
	dur(&k.ImageMinimumGCAge, 2*time.Minute)
	k.ImageGCHighThresholdPercent = ptr.To(ptr.Deref(k.ImageGCHighThresholdPercent, 85))
	k.ImageGCLowThresholdPercent = ptr.To(ptr.Deref(k.ImageGCLowThresholdPercent, 80))
	str(&k.ContainerLogMaxSize, "10Mi")
	k.ContainerLogMaxFiles = ptr.To(ptr.Deref(k.ContainerLogMaxFiles, 5))
	if k.ContainerLogMonitorInterval == nil {
		k.ContainerLogMonitorInterval = &metav1.Duration{Duration: 10 * time.Second}
	}
	k.EventRecordQPS = ptr.To(ptr.Deref(k.EventRecordQPS, 50))
	num(&k.EventBurst, 100)
	k.NodeStatusMaxImages = ptr.To(ptr.Deref(k.NodeStatusMaxImages, 50))
	if k.EvictionHard == nil {
		k.EvictionHard = map[string]string{
			"memory.available": "100Mi", "nodefs.available": "10%", "nodefs.inodesFree": "5%",
			"imagefs.available": "15%", "imagefs.inodesFree": "5%",
		}
	}
	dur(&k.EvictionPressureTransitionPeriod, 5*time.Minute)
	if k.Authorization.Mode == "" {
		k.Authorization.Mode = kubeletconfig.KubeletAuthorizationModeWebhook
	}
	k.Authentication.Webhook.Enabled = ptr.To(ptr.Deref(k.Authentication.Webhook.Enabled, true))
	k.Authentication.Anonymous.Enabled = ptr.To(ptr.Deref(k.Authentication.Anonymous.Enabled, false))
}

// leastLogInterval is upstream's bound.
const leastLogInterval = 3 * time.Second

// validateKubelet lists what is wrong.
func validateKubelet(k *kubeletconfig.KubeletConfiguration) []error {
	var errs []error
	if k.ReadOnlyPort != 0 {
		errs = append(errs, errors.New("readOnlyPort: this agent serves nothing without authentication; remove it"))
	}
	if k.MaxPods < 0 {
		errs = append(errs, fmt.Errorf("maxPods: %d is negative", k.MaxPods))
	}
	if k.NodeLeaseDurationSeconds <= 0 {
		errs = append(errs, fmt.Errorf("nodeLeaseDurationSeconds: %d must be positive", k.NodeLeaseDurationSeconds))
	}
	for _, ip := range k.ClusterDNS {
		if net.ParseIP(ip) == nil {
			errs = append(errs, fmt.Errorf("clusterDNS: %q is not an IP address", ip))
		}
	}
	if _, err := quantities(k.SystemReserved); err != nil {
		errs = append(errs, fmt.Errorf("systemReserved: %w", err))
	}
	if _, err := quantities(k.KubeReserved); err != nil {
		errs = append(errs, fmt.Errorf("kubeReserved: %w", err))
	}
	if hi, lo := *k.ImageGCHighThresholdPercent, *k.ImageGCLowThresholdPercent; lo >= hi {
		errs = append(errs, fmt.Errorf("imageGCLowThresholdPercent: %d must be lower than imageGCHighThresholdPercent, %d", lo, hi))
	}
	if q, err := resource.ParseQuantity(k.ContainerLogMaxSize); err != nil || q.Value() <= 0 {
		errs = append(errs, fmt.Errorf("containerLogMaxSize: %q is not a size", k.ContainerLogMaxSize))
	}
	if n := *k.ContainerLogMaxFiles; n < 2 {
		errs = append(errs, fmt.Errorf("containerLogMaxFiles: %d must be greater than 1", n))
	}
	if d := k.ContainerLogMonitorInterval.Duration; d < leastLogInterval {
		errs = append(errs, fmt.Errorf("containerLogMonitorInterval: %v must be %v at least", d, leastLogInterval))
	}
	if _, err := evict.ParseThresholds(k.EvictionHard, k.EvictionSoft, k.EvictionSoftGracePeriod); err != nil {
		errs = append(errs, err)
	}
	return errs
}

// quantities reads a map of resource amounts.
func quantities(m map[string]string) (v1.ResourceList, error) {
	out := v1.ResourceList{}
	for name, s := range m {
		q, err := resource.ParseQuantity(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %q is not a quantity", name, s)
		}
		out[v1.ResourceName(name)] = q
	}
	return out, nil
}

// amount reads a size, or a percentage of a total.
func amount(s string, total int64) (int64, error) {
	if p, ok := strings.CutSuffix(s, "%"); ok {
		f, err := strconv.ParseFloat(p, 64)
		if err != nil || f < 0 || f > 100 {
			return 0, fmt.Errorf("%q is not a percentage", s)
		}
		return int64(f / 100 * float64(total)), nil
	}
	q, err := resource.ParseQuantity(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a quantity", s)
	}
	return q.Value(), nil
}

// reserved is what pods may not have: reservations and the hard eviction
// threshold of memory.
func reserved(k *kubeletconfig.KubeletConfiguration, capacity v1.ResourceList) v1.ResourceList {
	out := v1.ResourceList{}
	add := func(name v1.ResourceName, q resource.Quantity) {
		sum := out[name]
		sum.Add(q)
		out[name] = sum
	}
	for _, m := range []map[string]string{k.SystemReserved, k.KubeReserved} {
		list, _ := quantities(m) // validated
		for name, q := range list {
			add(name, q)
		}
	}
	for signal, name := range map[string]v1.ResourceName{"memory.available": v1.ResourceMemory, "nodefs.available": v1.ResourceEphemeralStorage} {
		if s, ok := k.EvictionHard[signal]; ok {
			total := capacity[name]
			if n, err := amount(s, total.Value()); err == nil {
				add(name, *resource.NewQuantity(n, resource.BinarySI))
			}
		}
	}
	return out
}
