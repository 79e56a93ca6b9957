package volume

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resourcehelper "k8s.io/component-helpers/resource"

	"proa/node/cri"
)

const (
	kindEmptyDir = "empty-dir"
	emptyDirMode = 0o777
)

// emptyDir is a directory that anybody in the pod may write, on the node's
// disk, in memory or of huge pages. Its content is the containers': once
// marked ready it is not looked into again.
func (j *job) emptyDir(e *corev1.EmptyDirVolumeSource) (cri.Volume, error) {
	dir := j.dir(kindEmptyDir)
	out := cri.Volume{Path: dir, SELinuxRelabel: true}
	onDisk := e.Medium == corev1.StorageMediumDefault
	if j.marked(kindEmptyDir) {
		if _, err := os.Lstat(dir); err == nil {
			if onDisk {
				return out, nil
			}
			if on, err := isMountPoint(dir); on || err != nil {
				return out, err
			}
			// Memory does not outlive the machine; the marker did.
		}
	}
	if err := makeDir(dir, emptyDirMode); err != nil {
		return out, err
	}
	switch {
	case onDisk:
	case e.Medium == corev1.StorageMediumMemory:
		opts := "mode=0777"
		if size := tmpfsSize(e, j.pod, j.cfg.Allocatable); size > 0 {
			opts = fmt.Sprintf("size=%d,%s", size, opts)
		}
		if err := mountTmpfs(dir, opts); err != nil {
			return out, err
		}
	case strings.HasPrefix(string(e.Medium), string(corev1.StorageMediumHugePages)):
		page, size, err := hugePagesOf(e.Medium, j.pod)
		if err != nil {
			return out, err
		}
		if on, err := isMountPoint(dir); err != nil {
			return out, err
		} else if !on {
			if err := unix.Mount("nodev", dir, "hugetlbfs", 0, fmt.Sprintf("pagesize=%d,size=%d", page, size)); err != nil {
				return out, &os.PathError{Op: "mount hugetlbfs", Path: dir, Err: err}
			}
		}
	default:
		return out, fmt.Errorf("unknown storage medium %q", e.Medium)
	}
	d, err := os.Open(dir)
	if err != nil {
		return out, err
	}
	defer d.Close()
	if err := d.Chmod(emptyDirMode); err != nil {
		return out, err
	}
	if g := j.fsGroup(); g != nil {
		if err := giveToGroup(d, *g, false); err != nil {
			return out, fmt.Errorf("applyFSGroup failed for vol %s: %w", j.volume.Name, err)
		}
	}
	return out, j.mark(kindEmptyDir)
}

// tmpfsSize is the least of what the volume may hold: its own limit, the pod's
// memory limit if all of it is limited, and what the node has. Pure.
func tmpfsSize(e *corev1.EmptyDirVolumeSource, pod *corev1.Pod, allocatable corev1.ResourceList) int64 {
	var size int64
	least := func(q resource.Quantity) {
		if v := q.Value(); v > 0 && (size == 0 || v < size) {
			size = v
		}
	}
	least(allocatable[corev1.ResourceMemory])
	limited := pod.Spec.Resources != nil && !pod.Spec.Resources.Limits.Memory().IsZero()
	if !limited {
		limited = len(pod.Spec.Containers) > 0
		for i := range pod.Spec.Containers {
			limited = limited && !pod.Spec.Containers[i].Resources.Limits.Memory().IsZero()
		}
		for i := range pod.Spec.InitContainers {
			limited = limited && !pod.Spec.InitContainers[i].Resources.Limits.Memory().IsZero()
		}
	}
	if limited {
		least(resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})[corev1.ResourceMemory])
	}
	if e.SizeLimit != nil {
		least(*e.SizeLimit)
	}
	return size
}

// hugePagesOf finds page size and total for a medium: HugePages means the one
// size that the pod uses, HugePages-2Mi that size. Pure.
func hugePagesOf(medium corev1.StorageMedium, pod *corev1.Pod) (page, total int64, err error) {
	sum := resourcehelper.PodLimits(pod, resourcehelper.PodResourcesOptions{})
	want := strings.TrimPrefix(string(medium), string(corev1.StorageMediumHugePagesPrefix))
	found := 0
	for name, q := range sum {
		s, ok := strings.CutPrefix(string(name), corev1.ResourceHugePagesPrefix)
		if !ok || medium != corev1.StorageMediumHugePages && s != want {
			continue
		}
		size, err := resource.ParseQuantity(s)
		if err != nil {
			return 0, 0, err
		}
		found++
		page, total = size.Value(), q.Value()
	}
	switch {
	case found == 0:
		return 0, 0, fmt.Errorf("medium %q: no container of the pod requests huge pages of it", medium)
	case found > 1:
		return 0, 0, fmt.Errorf("medium %q: containers use huge pages of several sizes; name one, as in HugePages-2Mi", medium)
	}
	return page, total, nil
}
