package volume

import (
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"proa/node/cri"
)

const defaultTokenSeconds = 3600

// projected gathers several sources into one volume, in memory.
func (j *job) projected(src *corev1.ProjectedVolumeSource) (cri.Volume, error) {
	c := newContent()
	uid := onlyUser(j.pod)
	for _, s := range src.Sources {
		var err error
		switch {
		case s.ConfigMap != nil:
			err = j.addConfigMap(c, s.ConfigMap.Name, s.ConfigMap.Items, src.DefaultMode, s.ConfigMap.Optional, uid)
		case s.Secret != nil:
			err = j.addSecret(c, s.Secret.Name, s.Secret.Items, src.DefaultMode, s.Secret.Optional, uid)
		case s.DownwardAPI != nil:
			err = j.addDownward(c, s.DownwardAPI.Items, src.DefaultMode, uid)
		case s.ServiceAccountToken != nil:
			err = j.addToken(c, s.ServiceAccountToken, src.DefaultMode, uid)
		case s.ClusterTrustBundle != nil:
			if o := s.ClusterTrustBundle.Optional; o == nil || !*o {
				err = contentError("clusterTrustBundle projections are not supported by this node agent")
			}
		case s.PodCertificate != nil:
			err = contentError("podCertificate projections are not supported by this node agent")
		}
		if err != nil {
			return j.keepOld(kindProjected, err)
		}
	}
	return j.show(kindProjected, true, c)
}

// addToken adds a token of the pod's service account, bound to the pod.
func (j *job) addToken(c *content, src *corev1.ServiceAccountTokenProjection, mode *int32, uid *int64) error {
	if j.cfg.Client == nil {
		return fmt.Errorf("failed to fetch token: %w", errNoAPI)
	}
	if j.pod.Spec.ServiceAccountName == "" {
		return errors.New("failed to fetch token: the pod has no service account")
	}
	seconds := int64(defaultTokenSeconds)
	if src.ExpirationSeconds != nil {
		seconds = *src.ExpirationSeconds
	}
	t, err := j.tokens.get(j.ctx, tokenKey{
		pod: j.pod.UID, podName: j.pod.Name, namespace: j.pod.Namespace,
		account: j.pod.Spec.ServiceAccountName, audience: src.Audience, seconds: seconds,
	})
	if err != nil {
		return fmt.Errorf("failed to fetch token: %w", err)
	}
	m := fileMode(mode)
	if uid != nil || j.fsGroup() != nil {
		// Whoever shall read it is known, so nobody else may.
		m = 0o600
	}
	c.files[src.Path] = file{data: []byte(t.value), mode: m, uid: uid}
	fmt.Fprintf(&c.stamp, "token %s %d;", src.Path, t.expires.UnixNano())
	if j.refresh.IsZero() || t.renew.Before(j.refresh) {
		j.refresh = t.renew
	}
	return nil
}

// onlyUser is the user that all containers of the pod run as, if the pod says
// so.
func onlyUser(pod *corev1.Pod) *int64 {
	var common *int64
	if sc := pod.Spec.SecurityContext; sc != nil {
		common = sc.RunAsUser
	}
	var only *int64
	same := true
	visit := func(sc *corev1.SecurityContext) {
		u := common
		if sc != nil && sc.RunAsUser != nil {
			u = sc.RunAsUser
		}
		switch {
		case u == nil:
			same = false
		case only == nil:
			only = u
		case *only != *u:
			same = false
		}
	}
	for i := range pod.Spec.InitContainers {
		visit(pod.Spec.InitContainers[i].SecurityContext)
	}
	for i := range pod.Spec.Containers {
		visit(pod.Spec.Containers[i].SecurityContext)
	}
	for i := range pod.Spec.EphemeralContainers {
		visit(pod.Spec.EphemeralContainers[i].SecurityContext)
	}
	if !same {
		return nil
	}
	return only
}
