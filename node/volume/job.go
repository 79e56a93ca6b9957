package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/cri"
)

// job is the setting up of one volume.
type job struct {
	*Manager
	ctx    context.Context
	pod    *corev1.Pod
	volume *corev1.Volume
	// last is how the volume was made before; stamp, set by the job, from what
	// it is made now. Where they are equal nothing needs doing.
	last  made
	stamp string
	// refresh is when the volume must be made again, if ever.
	refresh time.Time
}

// setup dispatches on the kind. The table of kinds is this switch.
func (j *job) setup() (cri.Volume, error) {
	if name := j.volume.Name; name == "" || name == "." || name == ".." || filepath.Base(name) != name {
		return cri.Volume{}, fmt.Errorf("volume name %q cannot name a directory", name)
	}
	switch v := j.volume.VolumeSource; {
	case v.EmptyDir != nil:
		return j.emptyDir(v.EmptyDir)
	case v.HostPath != nil:
		return j.hostPath(v.HostPath.Path, v.HostPath.Type)
	case v.ConfigMap != nil:
		return j.configMap(v.ConfigMap)
	case v.Secret != nil:
		return j.secret(v.Secret)
	case v.DownwardAPI != nil:
		return j.downwardAPI(v.DownwardAPI)
	case v.Projected != nil:
		return j.projected(v.Projected)
	case v.PersistentVolumeClaim != nil:
		return j.claim(v.PersistentVolumeClaim.ClaimName, v.PersistentVolumeClaim.ReadOnly, false)
	case v.Ephemeral != nil:
		return j.claim(j.pod.Name+"-"+j.volume.Name, false, true)
	case v.Image != nil:
		return j.image(v.Image)
	case v.CSI != nil:
		return cri.Volume{}, fmt.Errorf("inline CSI volumes (driver %s) are not supported by this node agent", v.CSI.Driver)
	case v.NFS != nil, v.ISCSI != nil, v.FC != nil, v.FlexVolume != nil:
		return cri.Volume{}, errors.New("network volumes other than through claims are not supported by this node agent")
	}
	return cri.Volume{}, errors.New("no volume plugin matched")
}

// image is an image's file system, which the runtime mounts itself. It is made
// present once; the pod keeps what it started with.
func (j *job) image(v *corev1.ImageVolumeSource) (cri.Volume, error) {
	if j.last.stamp == v.Reference && v.Reference != "" {
		j.stamp = j.last.stamp
		return j.last.where, nil
	}
	if j.cfg.Image == nil {
		return cri.Volume{}, errors.New("image volumes are not supported by this node agent")
	}
	ref, err := j.cfg.Image(j.ctx, j.pod, j.volume)
	if err != nil {
		return cri.Volume{}, err
	}
	j.stamp = v.Reference
	return cri.Volume{ReadOnly: true, Image: &runtimeapi.ImageSpec{Image: ref, UserSpecifiedImage: v.Reference}}, nil
}

// dir is the volume's directory for a kind.
func (j *job) dir(kind string) string { return j.volumeDir(j.pod.UID, kind, j.volume.Name) }

// marker is the file that says that a volume of a kind was set up to the end.
func (j *job) marker(kind string) string {
	return filepath.Join(j.podDir(j.pod.UID), "plugins", "kubernetes.io~"+kind, j.volume.Name, "ready")
}

func (j *job) marked(kind string) bool {
	_, err := os.Stat(j.marker(kind))
	return err == nil
}

func (j *job) mark(kind string) error {
	path := j.marker(kind)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// makeDir makes a volume's directory with exactly the mode. The path down to
// it is the agent's own.
func makeDir(path string, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	if err := os.Mkdir(path, mode); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil
		}
		return err
	}
	return os.Chmod(path, mode)
}

// mountTmpfs mounts memory on dir unless something is mounted there.
func mountTmpfs(dir, options string) error {
	if on, err := isMountPoint(dir); on || err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		return &os.PathError{Op: "mount tmpfs", Path: dir, Err: err}
	}
	return nil
}

// fsGroup is the group that the pod's volumes are to belong to.
func (j *job) fsGroup() *int64 {
	if sc := j.pod.Spec.SecurityContext; sc != nil {
		return sc.FSGroup
	}
	return nil
}
