package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/component-helpers/storage/volume"

	"proa/node/cri"
	"proa/node/volume/beneath"
)

const kindLocal = "local-volume"

// claim resolves a claim to its volume on this node. The objects are read
// until the volume is set up, and not again: a bound claim does not change its
// volume.
func (j *job) claim(name string, readOnly, ephemeral bool) (cri.Volume, error) {
	if j.last.stamp != "" {
		j.stamp = j.last.stamp
		return j.last.where, nil
	}
	if j.cfg.Client == nil {
		return cri.Volume{}, fmt.Errorf("persistentvolumeclaim %q: %w", name, errNoAPI)
	}
	pvc, err := j.cfg.Client.CoreV1().PersistentVolumeClaims(j.pod.Namespace).Get(j.ctx, name, metav1.GetOptions{})
	if err != nil {
		return cri.Volume{}, fmt.Errorf("error processing PVC %s/%s: failed to fetch PVC from API server: %w", j.pod.Namespace, name, err)
	}
	if ephemeral && !metav1.IsControlledBy(pvc, j.pod) {
		return cri.Volume{}, fmt.Errorf("PVC %s/%s was not created for pod %s (pod is not owner)", j.pod.Namespace, name, j.pod.Name)
	}
	if pvc.DeletionTimestamp != nil && !ephemeral {
		return cri.Volume{}, fmt.Errorf("error processing PVC %s/%s: PVC is being deleted", j.pod.Namespace, name)
	}
	if pvc.Status.Phase != corev1.ClaimBound || pvc.Spec.VolumeName == "" {
		return cri.Volume{}, fmt.Errorf("error processing PVC %s/%s: PVC is not bound", j.pod.Namespace, name)
	}
	pv, err := j.cfg.Client.CoreV1().PersistentVolumes().Get(j.ctx, pvc.Spec.VolumeName, metav1.GetOptions{})
	if err != nil {
		return cri.Volume{}, fmt.Errorf("error processing PVC %s/%s: failed to fetch PV %s: %w", j.pod.Namespace, name, pvc.Spec.VolumeName, err)
	}
	if ref := pv.Spec.ClaimRef; ref == nil || ref.UID != pvc.UID {
		return cri.Volume{}, fmt.Errorf("error processing PVC %s/%s: PV %s is bound to another claim", j.pod.Namespace, name, pv.Name)
	}
	if a := pv.Spec.NodeAffinity; a != nil {
		if err := volume.CheckNodeAffinity(pv, j.nodeLabels()); err != nil {
			return cri.Volume{}, fmt.Errorf("volume %s cannot be used on node %s: %w", pv.Name, j.cfg.NodeName, err)
		}
	}
	var out cri.Volume
	switch src := pv.Spec.PersistentVolumeSource; {
	case src.HostPath != nil:
		out, err = j.hostPath(src.HostPath.Path, src.HostPath.Type)
	case src.Local != nil:
		out, err = j.local(pv)
	case src.CSI != nil:
		return cri.Volume{}, fmt.Errorf("PV %s uses CSI driver %s: CSI volumes are not supported by this node agent", pv.Name, src.CSI.Driver)
	default:
		return cri.Volume{}, fmt.Errorf("PV %s: only hostPath and local volumes are supported by this node agent", pv.Name)
	}
	out.ReadOnly = out.ReadOnly || readOnly
	j.stamp = "bound to " + pv.Name
	return out, err
}

func (j *job) nodeLabels() map[string]string {
	if j.cfg.NodeLabels != nil {
		return j.cfg.NodeLabels()
	}
	return labels.Set{corev1.LabelHostname: j.cfg.NodeName}
}

// local binds a directory or device of the node where upstream has it, so that
// several pods can use one volume and each lets go of its own mount.
func (j *job) local(pv *corev1.PersistentVolume) (cri.Volume, error) {
	src, err := os.OpenFile(pv.Spec.Local.Path, unix.O_PATH, 0)
	if err != nil {
		return cri.Volume{}, err
	}
	defer src.Close()
	st, err := os.Stat(beneath.Proc(src))
	if err != nil {
		return cri.Volume{}, err
	}
	if pv.Spec.VolumeMode != nil && *pv.Spec.VolumeMode == corev1.PersistentVolumeBlock {
		return cri.Volume{Path: pv.Spec.Local.Path, Block: true}, nil
	}
	if !st.IsDir() {
		return cri.Volume{}, fmt.Errorf("local volume path %s is not a directory; block devices with a file system are not supported by this node agent", pv.Spec.Local.Path)
	}
	dir := j.volumeDir(j.pod.UID, kindLocal, pv.Name)
	out := cri.Volume{Path: dir, SELinuxRelabel: true}
	on, err := isMountPoint(dir)
	if on || err != nil {
		return out, err
	}
	if err := makeDir(dir, 0o750); err != nil {
		return out, err
	}
	if g := j.fsGroup(); g != nil {
		if err := j.ownLocal(pv.Spec.Local.Path, *g); err != nil {
			return out, err
		}
	}
	if err := unix.Mount(beneath.Proc(src), dir, "", unix.MS_BIND, ""); err != nil {
		return out, errors.Join(&os.PathError{Op: "bind mount", Path: dir, Err: err}, os.Remove(dir))
	}
	return out, nil
}

// ownLocal gives the volume to the pod's group as its change policy says.
func (j *job) ownLocal(path string, gid int64) error {
	d, err := os.Open(filepath.Clean(path))
	if err != nil {
		return err
	}
	defer d.Close()
	if p := j.pod.Spec.SecurityContext.FSGroupChangePolicy; p != nil && *p == corev1.FSGroupChangeOnRootMismatch {
		if has, err := hasGroup(d, gid, false); has || err != nil {
			return err
		}
	}
	if err := giveToGroup(d, gid, false); err != nil {
		return fmt.Errorf("applyFSGroup failed for vol %s: %w", j.volume.Name, err)
	}
	return nil
}
