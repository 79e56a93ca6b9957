package certificates

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/auth"
	"proa/resource"
	rt "proa/resource/resourcetest"
)

// material is a key's certificate request and a certificate for it.
func material(t *testing.T) (request, certificate []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject := pkix.Name{CommonName: "system:node:a", Organization: []string{"system:nodes"}}
	r, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: subject}, key)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: subject, NotAfter: rt.Now().Add(time.Hour)}
	c, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: r}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c})
}

var request = &resource.Request{Now: metav1.NewTime(rt.Now()), User: &auth.User{
	Name: "jane", UID: "u-1", Groups: []string{"devs"}, Extra: map[string][]string{"scopes": {"a"}},
}}

func made(t *testing.T) *csr {
	pemRequest, _ := material(t)
	c := &csr{
		ObjectMeta: metav1.ObjectMeta{Name: "csr:1"},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: pemRequest, SignerName: "kubernetes.io/kube-apiserver-client-kubelet",
			Usages:   []certificatesv1.KeyUsage{certificatesv1.UsageClientAuth},
			Username: "root", Groups: []string{"system:masters"},
		},
		Status: certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{
			{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue},
		}},
	}
	CertificateSigningRequest().PrepareCreate(request, c)
	return c
}

func check(t *testing.T, errs field.ErrorList, want ...string) {
	t.Helper()
	var got []string
	for _, e := range errs {
		got = append(got, e.Error())
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestCreateSaysWhoAsks(t *testing.T) {
	t.Parallel()
	c := made(t)
	s := c.Spec
	if s.Username != "jane" || s.UID != "u-1" || !slices.Equal(s.Groups, []string{"devs"}) || !slices.Equal(s.Extra["scopes"], []string{"a"}) {
		t.Errorf("asked by %s (%s) of %v with %v", s.Username, s.UID, s.Groups, s.Extra)
	}
	if len(c.Status.Conditions) != 0 {
		t.Error("created approved")
	}
	check(t, CertificateSigningRequest().Validate(c))
}

func TestValidateRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*certificatesv1.CertificateSigningRequestSpec)
		want   []string
	}{
		"no pem": {func(s *certificatesv1.CertificateSigningRequestSpec) { s.Request = []byte("x") },
			[]string{`spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST`}},
		"usages": {func(s *certificatesv1.CertificateSigningRequestSpec) { s.Usages = nil }, []string{"spec.usages: Required value"}},
		"usage twice": {func(s *certificatesv1.CertificateSigningRequestSpec) { s.Usages = append(s.Usages, s.Usages[0]) },
			[]string{`spec.usages[1]: Duplicate value: "client auth"`}},
		"legacy": {func(s *certificatesv1.CertificateSigningRequestSpec) { s.SignerName = legacySigner },
			[]string{`spec.signerName: Invalid value: "kubernetes.io/legacy-unknown": the legacy signerName is not allowed via this API version`}},
		"short": {func(s *certificatesv1.CertificateSigningRequestSpec) { s.ExpirationSeconds = new(int32(599)) },
			[]string{"spec.expirationSeconds: Invalid value: 599: may not specify a duration less than 600 seconds (10 minutes)"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := made(t)
			c.change(&o.Spec)
			check(t, CertificateSigningRequest().Validate(o), c.want...)
		})
	}
	t.Run("unknown usage", func(t *testing.T) {
		t.Parallel()
		o := made(t)
		o.Spec.Usages = []certificatesv1.KeyUsage{"party"}
		errs := CertificateSigningRequest().Validate(o)
		if len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), `spec.usages[0]: Unsupported value: "party": supported values: "any", "cert sign"`) {
			t.Error(errs)
		}
	})
}

func TestValidateSignerName(t *testing.T) {
	t.Parallel()
	at := field.NewPath("s")
	for name, want := range map[string][]string{
		"kubernetes.io/kubelet-serving": nil,
		"":                              {"s: Required value"},
		"kubelet-serving":               {`s: Invalid value: "kubelet-serving": must be a fully qualified domain and path of the form 'example.com/signer-name'`},
		"a.b/c/d":                       {`s: Invalid value: "a.b/c/d": must be a fully qualified domain and path of the form 'example.com/signer-name'`},
		"local/x":                       {`s: Invalid value: "local": should be a domain with at least two segments separated by dots`},
	} {
		check(t, ValidateSignerName(name, at), want...)
	}
}

func TestEachPartyKeepsToItsPart(t *testing.T) {
	t.Parallel()
	d := CertificateSigningRequest()
	_, certificate := material(t)
	approval, status := d.Updates["approval"], d.Updates["status"]
	approved := certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "Good"}

	// An approver adds a condition, and cannot bring a certificate along.
	old := made(t)
	c := old.DeepCopy()
	c.Spec.Username = "root"
	c.Status.Conditions = append(c.Status.Conditions, approved)
	c.Status.Certificate = certificate
	approval.PrepareUpdate(request, c, old)
	check(t, approval.ValidateUpdate(c, old))
	if c.Spec.Username != "jane" || c.Status.Certificate != nil {
		t.Errorf("approval changed the user to %s and the certificate to %s", c.Spec.Username, c.Status.Certificate)
	}
	if k := c.Status.Conditions[0]; !k.LastUpdateTime.Equal(&request.Now) || !k.LastTransitionTime.Equal(&request.Now) {
		t.Errorf("the times of the condition are %v and %v", k.LastUpdateTime, k.LastTransitionTime)
	}

	// Nor can a signer approve.
	s := old.DeepCopy()
	s.Status.Conditions = append(s.Status.Conditions, approved)
	status.PrepareUpdate(request, s, old)
	check(t, status.ValidateUpdate(s, old), `status.conditions: Forbidden: updates may not add a condition of type "Approved"`)

	// It sets the certificate, once, and leaves the reason of the approval.
	issued := c.DeepCopy()
	issued.Status.Certificate, issued.Status.Conditions[0].Reason = certificate, "Because"
	status.PrepareUpdate(request, issued, c)
	check(t, status.ValidateUpdate(issued, c))
	if r := issued.Status.Conditions[0].Reason; r != "Good" {
		t.Errorf("the signer changed the reason to %s", r)
	}
	again := issued.DeepCopy()
	_, again.Status.Certificate = material(t)
	status.PrepareUpdate(request, again, issued)
	check(t, status.ValidateUpdate(again, issued), "status.certificate: Forbidden: updates may not modify existing certificate content")

	// Nobody takes an approval back, or adds a denial to it.
	gone := issued.DeepCopy()
	gone.Status.Conditions = nil
	approval.PrepareUpdate(request, gone, issued)
	check(t, approval.ValidateUpdate(gone, issued), `status.conditions: Forbidden: updates may not remove a condition of type "Approved"`)
	both := issued.DeepCopy()
	both.Status.Conditions = append(both.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue})
	approval.PrepareUpdate(request, both, issued)
	check(t, approval.ValidateUpdate(both, issued), `status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive`)
	both.Status.Conditions[1].Status = corev1.ConditionFalse
	check(t, approval.ValidateUpdate(both, issued),
		`status.conditions[1].status: Unsupported value: "False": supported values: "True"`,
		`status.conditions[1].type: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive`)

	// An update of the request itself changes nothing but metadata.
	main := issued.DeepCopy()
	main.Labels, main.Spec.SignerName, main.Status = map[string]string{"a": "b"}, "example.com/x", certificatesv1.CertificateSigningRequestStatus{}
	d.PrepareUpdate(request, main, issued)
	check(t, d.ValidateUpdate(main, issued))
	if main.Spec.SignerName != issued.Spec.SignerName || main.Status.Certificate == nil || main.Labels["a"] != "b" {
		t.Errorf("an update left %+v", main)
	}
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	_, good := material(t)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":       {nil, ""},
		"one":           {good, ""},
		"two with text": {slices.Concat([]byte("subject: a\n"), good, []byte("\nsubject: b\n"), good), ""},
		"text only":     {[]byte("hello"), "must contain at least one CERTIFICATE PEM block"},
		"a key":         {pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY"}), `only CERTIFICATE PEM blocks are allowed, found "PRIVATE KEY"`},
		"headers":       {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Headers: map[string]string{"a": "b"}}), "no PEM block headers are permitted"},
		"empty":         {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE"}), "found CERTIFICATE PEM block containing 0 certificates"},
	} {
		err := validateCertificate(c.data)
		if (err == nil) != (c.want == "") || err != nil && err.Error() != c.want {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
	}
}

func TestColumns(t *testing.T) {
	t.Parallel()
	d := CertificateSigningRequest()
	rt.Columns(t, d, "Name", "Age", "SignerName", "Requestor", "RequestedDuration", "Condition")
	rt.Cells(t, d, `{metadata: {name: a}, spec: {request: "", signerName: x.io/y, username: jane, expirationSeconds: 3600}}`,
		"a", "60m", "x.io/y", "jane", "60m", "Pending")
	rt.Cells(t, d, `{metadata: {name: a}, spec: {request: ""}, status: {certificate: eA==, conditions: [{type: Approved, status: "True"}, {type: Failed, status: "True"}]}}`,
		"a", "60m", "<none>", "", "<none>", "Approved,Failed,Issued")
	if f := d.Fields(made(t)); f["spec.signerName"] != "kubernetes.io/kube-apiserver-client-kubelet" {
		t.Errorf("selectable fields are %v", f)
	}
}
