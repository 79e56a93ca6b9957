package noderestriction

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/auth"
	proa "proa/resource"
	"proa/resource/certificates"
	"proa/resource/coordination"
	"proa/resource/core"
)

func on(name, node string, more ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: "uid"}, Spec: corev1.PodSpec{NodeName: node}}
	for _, f := range more {
		f(p)
	}
	return p
}

func mirror(more ...func(*corev1.Pod)) *corev1.Pod {
	return on("m", "me", append([]func(*corev1.Pod){func(p *corev1.Pod) {
		p.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: "x"}
		p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: "me", UID: "uid-me", Controller: ptr.To(true)}}
	}}, more...)...)
}

func self(more ...func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "me", UID: "uid-me"}}
	for _, f := range more {
		f(n)
	}
	return n
}

func label(k string) func(*corev1.Node) {
	return func(n *corev1.Node) { n.Labels = map[string]string{k: "v"} }
}

func token(pod, uid string, audiences ...string) *authenticationv1.TokenRequest {
	r := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{Audiences: audiences}}
	if pod != "" {
		r.Spec.BoundObjectRef = &authenticationv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: pod, UID: "uid"}
		r.Spec.BoundObjectRef.UID = "uid"
		if uid != "uid" {
			r.Spec.BoundObjectRef.UID = ""
		}
	}
	return r
}

func csr(t *testing.T, cn, signer string) *certificatesv1.CertificateSigningRequest {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: cn}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{
		SignerName: signer, Request: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}),
	}}
}

func TestPlugin(t *testing.T) {
	t.Parallel()
	mine := on("mine", "me", func(p *corev1.Pod) {
		p.Spec.Volumes = []corev1.Volume{{VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
			{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{}}, {ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "vault"}},
		}}}}}
	})
	w := admissiontest.World{self(), mine, on("other", "you")}
	claim := &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c"}}
	grown, stolen := claim.DeepCopy(), claim.DeepCopy()
	grown.Status.Capacity = corev1.ResourceList{"storage": resource.MustParse("1Gi")}
	stolen.Spec.VolumeName = "x"
	anon := func(op admission.Operation, name string, obj, old runtime.Object) admission.Attributes {
		return admission.Attributes{Operation: op, Name: name, Object: obj, Old: old}
	}
	type row struct {
		def  *proa.Definition
		sub  string
		a    admission.Attributes
		want string
	}
	pods, nodes, accounts, csrs := core.Pod(), core.Node(), core.ServiceAccount(), certificates.CertificateSigningRequest()
	leases := coordination.Lease()
	claims := &proa.Definition{Storage: corev1.SchemeGroupVersion, Plural: "persistentvolumeclaims"}
	tests := map[string]row{
		"mirror pod":                 {def: pods, a: anon(admission.Create, "m", mirror(), nil)},
		"plain pod":                  {def: pods, a: anon(admission.Create, "p", on("p", "me"), nil), want: `pod does not have "kubernetes.io/config.mirror" annotation, node "me" can only create mirror pods`},
		"mirror elsewhere":           {def: pods, a: anon(admission.Create, "m", mirror(func(p *corev1.Pod) { p.Spec.NodeName = "you" }), nil), want: `node "me" can only create pods with spec.nodeName set to itself`},
		"mirror without owner":       {def: pods, a: anon(admission.Create, "m", mirror(func(p *corev1.Pod) { p.OwnerReferences = nil }), nil), want: `node "me" can only create pods with an owner reference set to itself`},
		"mirror of two owners":       {def: pods, a: anon(admission.Create, "m", mirror(func(p *corev1.Pod) { p.OwnerReferences = append(p.OwnerReferences, p.OwnerReferences[0]) }), nil), want: `node "me" can only create pods with a single owner reference set to itself`},
		"mirror of a former node":    {def: pods, a: anon(admission.Create, "m", mirror(func(p *corev1.Pod) { p.OwnerReferences[0].UID = "old" }), nil), want: `node me UID mismatch: expected old got uid-me`},
		"mirror blocking":            {def: pods, a: anon(admission.Create, "m", mirror(func(p *corev1.Pod) { p.OwnerReferences[0].BlockOwnerDeletion = ptr.To(true) }), nil), want: `node "me" must not set blockOwnerDeletion on an owner reference`},
		"mirror with account":        {def: pods, a: anon(admission.Create, "m", mirror(func(p *corev1.Pod) { p.Spec.ServiceAccountName = "x" }), nil), want: `node "me" can not create pods that reference a service account`},
		"mirror with secret":         {def: pods, a: anon(admission.Create, "m", mirror(func(p *corev1.Pod) { p.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "x"}} }), nil), want: `node "me" can not create pods that reference secrets`},
		"CVE-2025-4563 claims":       {def: pods, a: anon(admission.Create, "m", mirror(func(p *corev1.Pod) { p.Spec.ResourceClaims = []corev1.PodResourceClaim{{}} }), nil), want: `node "me" can not create pods that reference resourceclaims`},
		"delete own pod":             {def: pods, a: anon(admission.Delete, "mine", nil, nil)},
		"delete another's":           {def: pods, a: anon(admission.Delete, "other", nil, nil), want: `node "me" can only delete pods with spec.nodeName set to itself`},
		"update a pod":               {def: pods, a: anon(admission.Update, "mine", mine, mine), want: `unexpected operation "UPDATE", node "me" can only create and delete mirror pods`},
		"status":                     {def: pods, sub: "status", a: anon(admission.Update, "mine", mine, mine)},
		"status of another's":        {def: pods, sub: "status", a: anon(admission.Update, "other", on("other", "me"), on("other", "you")), want: `node "me" can only update pod status for pods with spec.nodeName set to itself`},
		"CVE-2025-4563 claim status": {def: pods, sub: "status", a: anon(admission.Update, "mine", on("mine", "me", func(p *corev1.Pod) { p.Status.ResourceClaimStatuses = []corev1.PodResourceClaimStatus{{Name: "x"}} }), mine), want: `node "me" cannot update resource claim statuses`},
		"labels through status":      {def: pods, sub: "status", a: anon(admission.Update, "mine", on("mine", "me", func(p *corev1.Pod) { p.Labels = map[string]string{"a": "b"} }), mine), want: `node "me" cannot update labels through pod status`},
		"evict another's":            {def: pods, sub: "eviction", a: anon(admission.Create, "other", &policyv1.Eviction{}, nil), want: `node me can only evict pods with spec.nodeName set to itself`},
		"evict own":                  {def: pods, sub: "eviction", a: anon(admission.Create, "mine", &policyv1.Eviction{}, nil)},
		"another subresource":        {def: pods, sub: "binding", a: anon(admission.Create, "mine", nil, nil), want: `unexpected pod subresource "binding", only 'status' and 'eviction' are allowed`},

		"register":                     {def: nodes, a: anon(admission.Create, "", self(label("kubernetes.io/hostname")), nil)},
		"register another":             {def: nodes, a: anon(admission.Create, "", self(func(n *corev1.Node) { n.Name = "you" }), nil), want: `node "me" is not allowed to modify node "you"`},
		"register isolation label":     {def: nodes, a: anon(admission.Create, "", self(label("x.node-restriction.kubernetes.io/a")), nil), want: `node "me" is not allowed to set the following labels: x.node-restriction.kubernetes.io/a`},
		"register role label":          {def: nodes, a: anon(admission.Create, "", self(label("node-role.kubernetes.io/control-plane")), nil), want: `node "me" is not allowed to set the following labels: node-role.kubernetes.io/control-plane`},
		"register own label":           {def: nodes, a: anon(admission.Create, "", self(label("example.com/a")), nil)},
		"change a label":               {def: nodes, a: anon(admission.Update, "me", self(label("node-role.kubernetes.io/a")), self()), want: `is not allowed to modify labels: node-role.kubernetes.io/a`},
		"keep a label":                 {def: nodes, a: anon(admission.Update, "me", self(label("node-role.kubernetes.io/a")), self(label("node-role.kubernetes.io/a")))},
		"CVE-2021-25735 taints of old": {def: nodes, a: anon(admission.Update, "me", self(func(n *corev1.Node) { n.Spec.Taints = []corev1.Taint{{Key: "a"}} }), self()), want: `node "me" is not allowed to modify taints`},
		"CVE-2025-5187 owners":         {def: nodes, a: anon(admission.Update, "me", self(func(n *corev1.Node) { n.OwnerReferences = []metav1.OwnerReference{{}} }), self()), want: `node "me" is not allowed to modify ownerReferences`},
		"status of another":            {def: nodes, sub: "status", a: anon(admission.Update, "you", self(), self()), want: `node "me" is not allowed to modify node "you"`},

		"claim status":        {def: claims, sub: "status", a: anon(admission.Update, "c", grown, claim)},
		"claim":               {def: claims, a: anon(admission.Update, "c", grown, claim), want: `may only update PVC status`},
		"claim status and sp": {def: claims, sub: "status", a: anon(admission.Update, "c", stolen, claim), want: `node "me" is not allowed to update fields other than status.quantity and status.conditions`},

		"token":               {def: accounts, sub: "token", a: anon(admission.Create, "sa", token("mine", "uid"), nil)},
		"token for audience":  {def: accounts, sub: "token", a: anon(admission.Create, "sa", token("mine", "uid", "vault"), nil)},
		"token by permission": {def: accounts, sub: "token", a: anon(admission.Create, "sa", token("mine", "uid", "granted"), nil)},
		"token for others":    {def: accounts, sub: "token", a: anon(admission.Create, "sa", token("mine", "uid", "bank"), nil), want: `audience "bank" not found in pod spec volume`},
		"token for two":       {def: accounts, sub: "token", a: anon(admission.Create, "sa", token("mine", "uid", "vault", "bank"), nil), want: `node may only request 0 or 1 audiences`},
		"token unbound":       {def: accounts, sub: "token", a: anon(admission.Create, "sa", token("", ""), nil), want: `node requested token not bound to a pod`},
		"token without uid":   {def: accounts, sub: "token", a: anon(admission.Create, "sa", token("mine", ""), nil), want: `node requested token with a pod binding without a uid`},
		"token of another":    {def: accounts, sub: "token", a: anon(admission.Create, "sa", token("other", "uid"), nil), want: `node requested token bound to a pod scheduled on a different node`},

		"lease":         {def: leases, a: admission.Attributes{Operation: admission.Create, Namespace: "kube-node-lease", Object: &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "me"}}}},
		"lease of you":  {def: leases, a: admission.Attributes{Operation: admission.Update, Namespace: "kube-node-lease", Name: "you", Object: &coordinationv1.Lease{}}, want: `can only access node lease with the same name as the requesting node`},
		"lease of them": {def: leases, a: admission.Attributes{Operation: admission.Update, Namespace: "kube-system", Name: "me"}, want: `can only access leases in the "kube-node-lease" system namespace`},

		"own csr":       {def: csrs, a: anon(admission.Create, "", csr(t, "system:node:me", certificatesv1.KubeletServingSignerName), nil)},
		"csr of you":    {def: csrs, a: anon(admission.Create, "", csr(t, "system:node:you", certificatesv1.KubeletServingSignerName), nil), want: `can only create a node CSR with CN=system:node:me`},
		"other's csr":   {def: csrs, a: anon(admission.Create, "", csr(t, "x", "example.com/s"), nil)},
		"not a csr":     {def: csrs, a: anon(admission.Create, "", &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: certificatesv1.KubeletServingSignerName}}, nil), want: `unable to parse csr: PEM block type must be CERTIFICATE REQUEST`},
		"other objects": {def: core.ConfigMap(), a: anon(admission.Create, "", nil, nil)},
	}
	granted := auth.AuthorizerFunc(func(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
		if a.Verb == audienceVerb && a.Resource == "granted" && a.Name == "sa" {
			return auth.Allow, "", nil
		}
		return auth.NoOpinion, "", nil
	})
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := test.a
			a.Definition, a.Subresource = test.def, test.sub
			if a.Namespace == "" {
				a.Namespace = "n"
			}
			a.User = &auth.User{Name: "system:node:me", Groups: []string{auth.GroupNodes}}
			want := test.want
			if want != "" {
				want = admission.Forbidden(&a, errString(want)).Error()
			}
			_, err := admissiontest.Run(t.Context(), New(w, granted), &a)
			if want == "" && err != nil || want != "" && (err == nil || err.Error() != want) {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			// Anybody else may.
			a.User = &auth.User{Name: "admin"}
			if _, err := admissiontest.Run(t.Context(), New(w, granted), &a); err != nil {
				t.Errorf("somebody else: %v", err)
			}
		})
	}
}

type errString string

func (e errString) Error() string { return string(e) }
