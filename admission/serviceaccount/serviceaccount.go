// Package serviceaccount is the admission plugin ServiceAccount: every pod
// runs under an account of its namespace, gets a token for it unless it wants
// none, and uses no secrets that the account is not allowed to hand out.
package serviceaccount

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/auth/podrefs"
	"proa/resource"
)

const (
	defaultAccount = "default"
	// tokenMount is where every client library looks for its credentials.
	tokenMount = "/var/run/secrets/kubernetes.io/serviceaccount"
	// volumePrefix begins the names of the volumes that hold them.
	volumePrefix = "kube-api-access-"
	// tokenSeconds is what is asked for where the client may not read its
	// token again; the API server knows it by this value.
	tokenSeconds = 3607
	// patience is how long a pod waits for the default account of a new
	// namespace.
	patience = time.Second
)

// Accounts finds service accounts. It must know of every one that this server
// has written.
type Accounts interface {
	ServiceAccount(ctx context.Context, namespace, name string) (*corev1.ServiceAccount, error)
	// ServiceAccountAdded returns a channel that is closed when an account of
	// that name comes to be; stop releases it.
	ServiceAccountAdded(ctx context.Context, namespace, name string) (added <-chan struct{}, stop func())
}

// Plugin is the admission plugin.
type Plugin struct {
	accounts Accounts
	clock    clock.Clock
	suffix   func() string
}

// New makes the plugin. suffix makes the random end of a name.
func New(a Accounts, c clock.Clock, suffix func() string) *Plugin { return &Plugin{a, c, suffix} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "ServiceAccount" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	if !admission.Is(def, "", "pods") {
		return false
	}
	return op == admission.Create && subresource == "" || op == admission.Update && subresource == "ephemeralcontainers"
}

// Mutate implements [admission.Mutator].
func (p *Plugin) Mutate(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok || a.Operation != admission.Create {
		return nil
	}
	// A node compares a mirror pod with the file that it comes from, so
	// nothing may be added to it.
	if podrefs.IsMirror(pod) {
		return p.Validate(ctx, a)
	}
	if pod.Spec.ServiceAccountName == "" {
		pod.Spec.ServiceAccountName = defaultAccount
		pod.Spec.DeprecatedServiceAccount = defaultAccount
	}
	sa, err := p.account(ctx, a, pod)
	if err != nil {
		return err
	}
	if wantsToken(sa, pod) {
		p.mountToken(pod)
	}
	if len(pod.Spec.ImagePullSecrets) == 0 && len(sa.ImagePullSecrets) > 0 {
		pod.Spec.ImagePullSecrets = append([]corev1.LocalObjectReference(nil), sa.ImagePullSecrets...)
	}
	return nil
}

// Validate implements [admission.Validator].
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	if podrefs.IsMirror(pod) {
		if a.Operation == admission.Create {
			return mirror(a, pod)
		}
		return nil
	}
	if pod.Spec.ServiceAccountName == "" {
		return admission.Forbidden(a, fmt.Errorf("no service account specified for pod %s/%s", a.Namespace, a.Name))
	}
	sa, err := p.account(ctx, a, pod)
	if err != nil {
		return err
	}
	if !enforcesSecrets(sa) {
		return nil
	}
	if a.Operation == admission.Update {
		err = ephemeralSecrets(sa, pod)
	} else {
		err = secrets(sa, pod)
	}
	if err != nil {
		return admission.Forbidden(a, err)
	}
	return nil
}

// mirror refuses what a mirror pod may not name: a node could use it to read
// secrets of its choice.
func mirror(a *admission.Attributes, pod *corev1.Pod) error {
	if pod.Spec.ServiceAccountName != "" {
		return admission.Forbidden(a, errors.New("a mirror pod may not reference service accounts"))
	}
	named := false
	podrefs.Secrets(&pod.Spec, func(string) { named = true })
	if named {
		return admission.Forbidden(a, errors.New("a mirror pod may not reference secrets"))
	}
	for _, v := range pod.Spec.Volumes {
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ServiceAccountToken != nil {
				return admission.Forbidden(a, errors.New("a mirror pod may not use ServiceAccountToken volume projections"))
			}
		}
	}
	return nil
}

// account finds the pod's account. The default account of a new namespace is
// made by a controller a moment after it, so that one is waited for.
func (p *Plugin) account(ctx context.Context, a *admission.Attributes, pod *corev1.Pod) (*corev1.ServiceAccount, error) {
	name := pod.Spec.ServiceAccountName
	sa, err := p.accounts.ServiceAccount(ctx, a.Namespace, name)
	if apierrors.IsNotFound(err) && name == defaultAccount {
		added, stop := p.accounts.ServiceAccountAdded(ctx, a.Namespace, name)
		defer stop()
		// It may have come before the channel was there.
		if sa, err = p.accounts.ServiceAccount(ctx, a.Namespace, name); apierrors.IsNotFound(err) {
			t := p.clock.NewTimer(patience)
			defer t.Stop()
			select {
			case <-added:
				sa, err = p.accounts.ServiceAccount(ctx, a.Namespace, name)
			case <-t.C():
			case <-ctx.Done():
			}
		}
	}
	if apierrors.IsNotFound(err) {
		// Upstream says it in the singular.
		err = apierrors.NewNotFound(corev1.Resource("serviceaccount"), name)
	}
	if err != nil {
		return nil, admission.Forbidden(a, fmt.Errorf("error looking up service account %s/%s: %w", a.Namespace, name, err))
	}
	return sa, nil
}

// wantsToken: the pod's word counts before the account's.
func wantsToken(sa *corev1.ServiceAccount, pod *corev1.Pod) bool {
	if pod.Spec.AutomountServiceAccountToken != nil {
		return *pod.Spec.AutomountServiceAccountToken
	}
	return ptr.Deref(sa.AutomountServiceAccountToken, true)
}

// mountToken gives the credentials to every container that has nothing else in
// their place.
func (p *Plugin) mountToken(pod *corev1.Pod) {
	name, exists := "", false
	for _, v := range pod.Spec.Volumes {
		if strings.HasPrefix(v.Name, volumePrefix) {
			name, exists = v.Name, true
			break
		}
	}
	if !exists {
		name = volumePrefix + p.suffix()
	}
	needed := false
	mount := func(list []corev1.Container) {
	containers:
		for i := range list {
			for _, m := range list[i].VolumeMounts {
				if m.MountPath == tokenMount {
					continue containers
				}
			}
			list[i].VolumeMounts = append(list[i].VolumeMounts, corev1.VolumeMount{Name: name, ReadOnly: true, MountPath: tokenMount})
			needed = true
		}
	}
	mount(pod.Spec.InitContainers)
	mount(pod.Spec.Containers)
	if needed && !exists {
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
			Name: name, VolumeSource: corev1.VolumeSource{Projected: credentials()},
		})
	}
}

// credentials are a token, the authority of the API server, and the namespace.
func credentials() *corev1.ProjectedVolumeSource {
	return &corev1.ProjectedVolumeSource{
		DefaultMode: ptr.To(corev1.ProjectedVolumeSourceDefaultMode),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: ptr.To[int64](tokenSeconds)}},
			{ConfigMap: &corev1.ConfigMapProjection{
				LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"},
				Items:                []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}},
			}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{
				{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}},
			}}},
		},
	}
}
