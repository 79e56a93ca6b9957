package serviceaccount

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource/core"
)

func account(name string, change func(*corev1.ServiceAccount)) *corev1.ServiceAccount {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name}}
	if change != nil {
		change(sa)
	}
	return sa
}

func plugin(a Accounts) *Plugin {
	return New(a, clocktesting.NewFakeClock(time.Now()), func() string { return "abcde" })
}

func run(t *testing.T, p *Plugin, op admission.Operation, sub string, pod *corev1.Pod) error {
	t.Helper()
	_, err := admissiontest.Run(t.Context(), p, &admission.Attributes{
		Operation: op, Definition: core.Pod(), Subresource: sub, Namespace: "n", Name: pod.Name, Object: pod,
	})
	return err
}

func pod(change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: "p"},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}},
	}
	if change != nil {
		change(p)
	}
	return p
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	w := admissiontest.World{account("default", func(sa *corev1.ServiceAccount) {
		sa.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	})}
	p := pod(func(p *corev1.Pod) {
		p.Spec.InitContainers = []corev1.Container{{Name: "i", VolumeMounts: []corev1.VolumeMount{{Name: "x", MountPath: tokenMount}}}}
	})
	if err := run(t, plugin(w), admission.Create, "", p); err != nil {
		t.Fatal(err)
	}
	if p.Spec.ServiceAccountName != "default" || len(p.Spec.ImagePullSecrets) != 1 || p.Spec.ImagePullSecrets[0].Name != "registry" {
		t.Errorf("account %q, pull secrets %v", p.Spec.ServiceAccountName, p.Spec.ImagePullSecrets)
	}
	want := []corev1.Volume{{Name: "kube-api-access-abcde", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		DefaultMode: ptr.To[int32](0o644),
		Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: ptr.To[int64](3607)}},
			{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
			{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}},
		},
	}}}}
	if d := cmp.Diff(want, p.Spec.Volumes); d != "" {
		t.Error(d)
	}
	mount := []corev1.VolumeMount{{Name: "kube-api-access-abcde", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}}
	if d := cmp.Diff(mount, p.Spec.Containers[0].VolumeMounts); d != "" {
		t.Error(d)
	}
	if len(p.Spec.InitContainers[0].VolumeMounts) != 1 {
		t.Error("mounted over the container's own")
	}
	// The same pod again (a template copied from a running pod) is left as is.
	before := p.DeepCopy()
	if err := run(t, plugin(w), admission.Create, "", p); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(before, p); d != "" {
		t.Error(d)
	}
}

func TestAutomount(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pod, sa *bool
		want    bool
	}{
		{nil, nil, true},
		{nil, ptr.To(false), false},
		{ptr.To(true), ptr.To(false), true},
		{ptr.To(false), nil, false},
	} {
		w := admissiontest.World{account("default", func(sa *corev1.ServiceAccount) { sa.AutomountServiceAccountToken = test.sa })}
		p := pod(func(p *corev1.Pod) { p.Spec.AutomountServiceAccountToken = test.pod })
		if err := run(t, plugin(w), admission.Create, "", p); err != nil {
			t.Fatal(err)
		}
		if got := len(p.Spec.Volumes) == 1; got != test.want {
			t.Errorf("%+v: mounted=%v", test, got)
		}
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	w := admissiontest.World{
		account("default", nil),
		account("strict", func(sa *corev1.ServiceAccount) {
			sa.Annotations = map[string]string{enforceAnnotation: "true"}
			sa.Secrets = []corev1.ObjectReference{{Name: "ok"}}
		}),
	}
	secretEnv := []corev1.EnvVar{{Name: "E", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}}}}
	secretFrom := []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}}}
	mirror := func(p *corev1.Pod) { p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"} }
	tests := map[string]struct {
		change func(*corev1.Pod)
		update bool
		want   string
	}{
		"unknown account":     {change: func(p *corev1.Pod) { p.Spec.ServiceAccountName = "x" }, want: `error looking up service account n/x: serviceaccount "x" not found`},
		"mirror":              {change: mirror},
		"mirror with account": {change: func(p *corev1.Pod) { mirror(p); p.Spec.ServiceAccountName = "default" }, want: "a mirror pod may not reference service accounts"},
		"mirror with envFrom": {change: func(p *corev1.Pod) { mirror(p); p.Spec.Containers[0].EnvFrom = secretFrom }, want: "a mirror pod may not reference secrets"},
		"mirror with token": {change: func(p *corev1.Pod) {
			mirror(p)
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: credentials()}}}
		}, want: "a mirror pod may not use ServiceAccountToken volume projections"},
		"any secret if lax": {change: func(p *corev1.Pod) { p.Spec.Containers[0].Env = secretEnv }},
		"listed secret": {change: func(p *corev1.Pod) {
			p.Spec.ServiceAccountName = "strict"
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "ok"}}}}
		}},
		"volume": {change: func(p *corev1.Pod) {
			p.Spec.ServiceAccountName = "strict"
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}}
		}, want: `volume with secret.secretName="s" is not allowed because service account strict does not reference that secret`},
		"projected volume": {change: func(p *corev1.Pod) {
			p.Spec.ServiceAccountName = "strict"
			p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
				{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}},
			}}}}}
		}, want: `projected volume with secret.name="s" is not allowed because service account strict does not reference that secret`},
		"env of container":      {change: func(p *corev1.Pod) { p.Spec.ServiceAccountName = "strict"; p.Spec.Containers[0].Env = secretEnv }, want: `container c with envVar E referencing secret.secretName="s" is not allowed because service account strict does not reference that secret`},
		"CVE-2024-3177 envFrom": {change: func(p *corev1.Pod) { p.Spec.ServiceAccountName = "strict"; p.Spec.Containers[0].EnvFrom = secretFrom }, want: `container c with envFrom referencing secret.secretName="s" is not allowed because service account strict does not reference that secret`},
		"init container": {change: func(p *corev1.Pod) {
			p.Spec.ServiceAccountName = "strict"
			p.Spec.InitContainers = []corev1.Container{{Name: "i", Env: secretEnv}}
		}, want: `init container i with envVar E referencing secret.secretName="s" is not allowed because service account strict does not reference that secret`},
		"pull secret": {change: func(p *corev1.Pod) {
			p.Spec.ServiceAccountName = "strict"
			p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "s"}}
		}, want: `imagePullSecrets[0].name="s" is not allowed because service account strict does not reference that imagePullSecret`},
		"CVE-2023-2728 ephemeral container": {update: true, change: func(p *corev1.Pod) {
			p.Spec.ServiceAccountName = "strict"
			p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{Name: "e", Env: secretEnv}}}
		}, want: `ephemeral container e with envVar E referencing secret.secretName="s" is not allowed because service account strict does not reference that secret`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			op, sub := admission.Create, ""
			if test.update {
				op, sub = admission.Update, "ephemeralcontainers"
			}
			err := run(t, plugin(w), op, sub, pod(test.change))
			if test.want == "" {
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || err.Error() != `pods "p" is forbidden: `+test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

// late is a namespace whose default account comes while a pod waits for it.
type late struct {
	admissiontest.World
	added chan struct{}
}

func (l *late) ServiceAccountAdded(context.Context, string, string) (<-chan struct{}, func()) {
	l.World = append(l.World, account("default", nil))
	close(l.added)
	return l.added, func() {}
}

func TestWaitsForDefaultAccount(t *testing.T) {
	t.Parallel()
	if err := run(t, plugin(&late{added: make(chan struct{})}), admission.Create, "", pod(nil)); err != nil {
		t.Error(err)
	}
	clk := clocktesting.NewFakeClock(time.Now())
	done := make(chan error)
	go func() {
		done <- run(t, New(admissiontest.World{}, clk, func() string { return "" }), admission.Create, "", pod(nil))
	}()
	for !clk.HasWaiters() {
		time.Sleep(time.Millisecond)
	}
	clk.Step(patience)
	if err := <-done; err == nil || !strings.Contains(err.Error(), `error looking up service account n/default`) {
		t.Error(err)
	}
}
