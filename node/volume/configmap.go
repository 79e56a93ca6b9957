package volume

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/node/cri"
)

var errNoAPI = errors.New("no API server to read it from")

func (j *job) configMap(src *corev1.ConfigMapVolumeSource) (cri.Volume, error) {
	c := newContent()
	if err := j.addConfigMap(c, src.Name, src.Items, src.DefaultMode, src.Optional, nil); err != nil {
		return j.keepOld(kindConfigMap, err)
	}
	return j.show(kindConfigMap, false, c)
}

// addConfigMap adds a ConfigMap's data; an absent optional one adds nothing.
func (j *job) addConfigMap(c *content, name string, items []corev1.KeyToPath, mode *int32, optional *bool, uid *int64) error {
	if j.cfg.Objects == nil {
		return fmt.Errorf("couldn't get configMap %v/%v: %w", j.pod.Namespace, name, errNoAPI)
	}
	opt := optional != nil && *optional
	cm, err := j.cfg.Objects.ConfigMap(j.ctx, j.pod.Namespace, name)
	if err != nil {
		if apierrors.IsNotFound(err) && opt {
			fmt.Fprintf(&c.stamp, "cm/%s absent;", name)
			return nil
		}
		return err
	}
	fmt.Fprintf(&c.stamp, "cm/%s %s %s;", name, cm.UID, cm.ResourceVersion)
	get := func(k string) ([]byte, bool) {
		if v, ok := cm.Data[k]; ok {
			return []byte(v), true
		}
		v, ok := cm.BinaryData[k]
		return v, ok
	}
	return c.addMap(kindConfigMap, name, items, get, func(yield func(string, []byte) bool) {
		for k, v := range cm.Data {
			if !yield(k, []byte(v)) {
				return
			}
		}
		for k, v := range cm.BinaryData {
			if !yield(k, v) {
				return
			}
		}
	}, mode, opt, uid)
}
