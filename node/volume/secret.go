package volume

import (
	"fmt"
	"maps"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/node/cri"
)

// secret volumes are kept in memory only.
func (j *job) secret(src *corev1.SecretVolumeSource) (cri.Volume, error) {
	c := newContent()
	if err := j.addSecret(c, src.SecretName, src.Items, src.DefaultMode, src.Optional, nil); err != nil {
		return j.keepOld(kindSecret, err)
	}
	return j.show(kindSecret, true, c)
}

// addSecret adds a Secret's data; an absent optional one adds nothing.
func (j *job) addSecret(c *content, name string, items []corev1.KeyToPath, mode *int32, optional *bool, uid *int64) error {
	if j.cfg.Objects == nil {
		return fmt.Errorf("couldn't get secret %v/%v: %w", j.pod.Namespace, name, errNoAPI)
	}
	opt := optional != nil && *optional
	s, err := j.cfg.Objects.Secret(j.ctx, j.pod.Namespace, name)
	if err != nil {
		if apierrors.IsNotFound(err) && opt {
			fmt.Fprintf(&c.stamp, "secret/%s absent;", name)
			return nil
		}
		return err
	}
	fmt.Fprintf(&c.stamp, "secret/%s %s %s;", name, s.UID, s.ResourceVersion)
	get := func(k string) ([]byte, bool) { v, ok := s.Data[k]; return v, ok }
	return c.addMap(kindSecret, name, items, get, maps.All(s.Data), mode, opt, uid)
}
