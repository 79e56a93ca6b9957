package volume

import (
	"errors"
	"fmt"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"

	"proa/node/cri"
)

func (j *job) downwardAPI(src *corev1.DownwardAPIVolumeSource) (cri.Volume, error) {
	c := newContent()
	if err := j.addDownward(c, src.Items, src.DefaultMode, nil); err != nil {
		return cri.Volume{}, err
	}
	return j.show(kindDownward, true, c)
}

// addDownward adds fields of the pod and resources of its containers.
func (j *job) addDownward(c *content, items []corev1.DownwardAPIVolumeFile, mode *int32, uid *int64) error {
	var errs []error
	for _, it := range items {
		var value string
		var err error
		switch {
		case it.FieldRef != nil:
			// Volumes show metadata only; the rest may change unseen.
			value, err = cri.MetadataValue(it.FieldRef.FieldPath, j.pod)
		case it.ResourceFieldRef != nil:
			value, err = cri.ResourceValue(it.ResourceFieldRef, j.pod, nil, j.cfg.Allocatable)
		default:
			err = fmt.Errorf("item %q has neither fieldRef nor resourceFieldRef", it.Path)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		m := fileMode(mode)
		if it.Mode != nil {
			m = fileMode(it.Mode)
		}
		c.files[filepath.Clean(it.Path)] = file{data: []byte(value), mode: m, uid: uid}
		fmt.Fprintf(&c.stamp, "%q=%q;", it.Path, value)
	}
	return errors.Join(errs...)
}
