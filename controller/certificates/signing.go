package certificates

import (
	"context"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certificateslisters "k8s.io/client-go/listers/certificates/v1"

	"proa/controller"
)

// Signing issues certificates of the signer for requests that are approved.
func Signing(signer Signer) controller.Definition {
	return controller.Definition{Name: "certificatesigningrequest-signing-controller", ServiceAccount: serviceAccount,
		New: func(env controller.Env) (controller.Controller, error) {
			requests := env.Informers.Certificates().V1().CertificateSigningRequests()
			s := &signing{env: env, requests: requests.Lister(), signer: signer}
			s.loop = controller.NewLoop("csrsigning", env, 2, s.reconcile)
			return s, controller.Watch(s.loop, requests.Informer(), live)
		}}
}

type signing struct {
	env      controller.Env
	loop     *controller.Loop[string]
	requests certificateslisters.CertificateSigningRequestLister
	signer   Signer
}

// Run implements controller.Controller.
func (s *signing) Run(ctx context.Context) error { return s.loop.Run(ctx) }

// signable reports whether a request waits for one of our signers.
func signable(r *request) bool {
	return checks[r.Spec.SignerName] != nil && len(r.Status.Certificate) == 0 &&
		condition(r, certificatesv1.CertificateApproved) != nil &&
		condition(r, certificatesv1.CertificateDenied) == nil &&
		condition(r, certificatesv1.CertificateFailed) == nil
}

func (s *signing) reconcile(ctx context.Context, name string) (controller.Result, error) {
	r, err := s.requests.Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil || !signable(r) {
		return controller.Done, err
	}
	c, err := parse(r)
	if err == nil {
		err = checks[r.Spec.SignerName](c, r.Spec.Usages)
	}
	r = r.DeepCopy()
	if err != nil {
		r.Status.Conditions = append(r.Status.Conditions, conditionOf(certificatesv1.CertificateFailed, "SignerValidationFailure", err.Error()))
	} else if r.Status.Certificate, err = issue(r, c, s.signer, s.env.Clock.Now()); err != nil {
		return controller.Done, err
	}
	if _, err := s.env.Client.CertificatesV1().CertificateSigningRequests().UpdateStatus(ctx, r, metav1.UpdateOptions{}); err != nil {
		return controller.Done, fmt.Errorf("write what was issued: %w", err)
	}
	return controller.Done, nil
}
