package certificates

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	certificateslisters "k8s.io/client-go/listers/certificates/v1"

	"proa/controller"
)

// How long requests stay, by what has become of them, as upstream's.
const (
	keepPending  = 24 * time.Hour
	keepFinished = time.Hour
)

// Cleaner deletes requests that are over.
func Cleaner() controller.Definition {
	return controller.Definition{Name: "certificatesigningrequest-cleaner-controller", ServiceAccount: serviceAccount,
		New: func(env controller.Env) (controller.Controller, error) {
			requests := env.Informers.Certificates().V1().CertificateSigningRequests()
			c := &cleaner{env: env, requests: requests.Lister()}
			c.loop = controller.NewLoop("csrcleaner", env, 1, c.reconcile)
			return c, controller.Watch(c.loop, requests.Informer(), live)
		}}
}

type cleaner struct {
	env      controller.Env
	loop     *controller.Loop[string]
	requests certificateslisters.CertificateSigningRequestLister
}

// Run implements controller.Controller.
func (c *cleaner) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// over is when a request is to go.
func over(r *request) time.Time {
	due := r.CreationTimestamp.Add(keepPending)
	issued := len(r.Status.Certificate) > 0
	for _, t := range []certificatesv1.RequestConditionType{certificatesv1.CertificateDenied, certificatesv1.CertificateFailed, certificatesv1.CertificateApproved} {
		// What is approved and not issued still waits.
		if c := condition(r, t); c != nil && (issued || t != certificatesv1.CertificateApproved) {
			due = c.LastUpdateTime.Add(keepFinished)
			break
		}
	}
	if block, _ := pem.Decode(r.Status.Certificate); block != nil {
		if cert, err := x509.ParseCertificate(block.Bytes); err == nil && cert.NotAfter.Before(due) {
			due = cert.NotAfter
		}
	}
	return due
}

func (c *cleaner) reconcile(ctx context.Context, name string) (controller.Result, error) {
	r, err := c.requests.Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	if left := over(r).Sub(c.env.Clock.Now()); left > 0 {
		return controller.Again(left), nil
	}
	err = c.env.Client.CertificatesV1().CertificateSigningRequests().Delete(ctx, name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &r.UID, ResourceVersion: &r.ResourceVersion},
	})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return controller.Done, err
}
