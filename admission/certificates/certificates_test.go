package certificates

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"

	certificatesv1 "k8s.io/api/certificates/v1"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/auth"
	rows "proa/resource/certificates"
)

func request(signer string, status certificatesv1.CertificateSigningRequestStatus) *certificatesv1.CertificateSigningRequest {
	return &certificatesv1.CertificateSigningRequest{Spec: certificatesv1.CertificateSigningRequestSpec{SignerName: signer}, Status: status}
}

func TestApprovalAndSigning(t *testing.T) {
	t.Parallel()
	z := auth.AuthorizerFunc(func(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
		if a.Resource == "signers" && a.Group == "certificates.k8s.io" && a.User.Name == a.Verb+"r" && (a.Name == "example.com/one" || a.Name == "whole.com/*") {
			return auth.Allow, "", nil
		}
		return auth.NoOpinion, "", nil
	})
	none := certificatesv1.CertificateSigningRequestStatus{}
	signed := certificatesv1.CertificateSigningRequestStatus{Certificate: []byte("x")}
	tests := map[string]struct {
		p                 admission.Plugin
		user, sub, signer string
		now               certificatesv1.CertificateSigningRequestStatus
		want              string
	}{
		"approve":           {NewApproval(z), "approver", "approval", "example.com/one", none, ""},
		"approve by domain": {NewApproval(z), "approver", "approval", "whole.com/any", none, ""},
		"approve another":   {NewApproval(z), "approver", "approval", "example.com/two", none, `user not permitted to approve requests with signerName "example.com/two"`},
		"not an approver":   {NewApproval(z), "signr", "approval", "example.com/one", none, `user not permitted to approve requests with signerName "example.com/one"`},
		"sign":              {NewSigning(z), "signr", "status", "example.com/one", signed, ""},
		"sign another":      {NewSigning(z), "signr", "status", "example.com/two", signed, `user not permitted to sign requests with signerName "example.com/two"`},
		"signs nothing":     {NewSigning(z), "x", "status", "example.com/two", none, ""},
		"not its business":  {NewSigning(z), "x", "approval", "example.com/two", signed, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &admission.Attributes{
				Operation: admission.Update, Definition: rows.CertificateSigningRequest(), Subresource: test.sub, Name: "c", User: &auth.User{Name: test.user},
				Object: request(test.signer, test.now), Old: request(test.signer, none),
			}
			_, err := admissiontest.Run(t.Context(), test.p, a)
			want := `certificatesigningrequests.certificates.k8s.io "c" is forbidden: ` + test.want
			if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != want) {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestSubject(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		signer, group, want string
	}{
		{certificatesv1.KubeAPIServerClientSignerName, "dev", ""},
		{"example.com/s", "system:masters", ""},
		{certificatesv1.KubeAPIServerClientSignerName, "system:masters", `certificatesigningrequests.certificates.k8s.io "c" is forbidden: use of kubernetes.io/kube-apiserver-client signer with system:masters group is not allowed`},
	} {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "u", Organization: []string{test.group}}}, key)
		if err != nil {
			t.Fatal(err)
		}
		r := request(test.signer, certificatesv1.CertificateSigningRequestStatus{})
		r.Spec.Request = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
		_, err = admissiontest.Run(t.Context(), NewSubject(), &admission.Attributes{Operation: admission.Create, Definition: rows.CertificateSigningRequest(), Name: "c", Object: r})
		if test.want == "" && err != nil || test.want != "" && (err == nil || err.Error() != test.want) {
			t.Errorf("%s for %s: %v", test.signer, test.group, err)
		}
	}
}
