package noderestriction

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	storagev1 "k8s.io/api/storage/v1"

	"proa/admission"
	"proa/auth"
)

// token: a node asks for tokens that end with a pod of its own, for audiences
// that this pod has asked for.
func (p *Plugin) token(ctx context.Context, name string, a *admission.Attributes) error {
	if a.Operation != admission.Create || a.Subresource != "token" {
		return nil
	}
	req, ok := a.Object.(*authenticationv1.TokenRequest)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	ref := req.Spec.BoundObjectRef
	if ref == nil || ref.APIVersion != "v1" || ref.Kind != "Pod" || ref.Name == "" {
		return errors.New("node requested token not bound to a pod")
	}
	if ref.UID == "" {
		return errors.New("node requested token with a pod binding without a uid")
	}
	pod, err := p.objects.Pod(ctx, a.Namespace, ref.Name)
	if err != nil {
		return err
	}
	if ref.UID != pod.UID {
		return fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", ref.UID)
	}
	if pod.Spec.NodeName != name {
		return errors.New("node requested token bound to a pod scheduled on a different node")
	}
	return p.audience(ctx, a, req, pod)
}

// audienceVerb lets an administrator give nodes further audiences.
const audienceVerb = "request-serviceaccounts-token-audience"

func (p *Plugin) audience(ctx context.Context, a *admission.Attributes, req *authenticationv1.TokenRequest, pod *corev1.Pod) error {
	audience := ""
	switch len(req.Spec.Audiences) {
	case 0:
	case 1:
		audience = req.Spec.Audiences[0]
	default:
		return errors.New("node may only request 0 or 1 audiences")
	}
	if asked, err := p.podAsks(ctx, pod, audience); asked || err != nil {
		return err
	}
	d, _, err := p.authorizer.Authorize(ctx, &auth.Attributes{
		User: a.User, Verb: audienceVerb, IsResource: true, Version: "v1", Resource: audience,
		Namespace: a.Namespace, Name: a.Name,
	})
	if d == auth.Allow {
		return nil
	}
	if err != nil {
		return fmt.Errorf("audience %q not found in pod spec volume: %w", audience, err)
	}
	return fmt.Errorf("audience %q not found in pod spec volume", audience)
}

// podAsks reports whether a pod's volumes want tokens for an audience, either
// projected ones or by the CSI drivers that serve them.
func (p *Plugin) podAsks(ctx context.Context, pod *corev1.Pod, audience string) (bool, error) {
	var errs []error
	for i := range pod.Spec.Volumes {
		v := &pod.Spec.Volumes[i]
		if v.Projected != nil {
			for _, s := range v.Projected.Sources {
				if s.ServiceAccountToken != nil && s.ServiceAccountToken.Audience == audience {
					return true, nil
				}
			}
		}
		driver, err := p.driverOf(ctx, pod, v)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if driver == nil {
			continue
		}
		for _, t := range driver.Spec.TokenRequests {
			if t.Audience == audience {
				return true, nil
			}
		}
	}
	return false, errors.Join(errs...)
}

// driverOf returns the CSI driver that serves a volume, or nil.
func (p *Plugin) driverOf(ctx context.Context, pod *corev1.Pod, v *corev1.Volume) (*storagev1.CSIDriver, error) {
	name, claim := "", ""
	switch {
	case v.CSI != nil:
		name = v.CSI.Driver
	case v.PersistentVolumeClaim != nil:
		claim = v.PersistentVolumeClaim.ClaimName
	case v.Ephemeral != nil:
		claim = pod.Name + "-" + v.Name
	}
	if claim != "" {
		c, err := p.objects.PersistentVolumeClaim(ctx, pod.Namespace, claim)
		if err != nil || c.Spec.VolumeName == "" {
			return nil, err
		}
		pv, err := p.objects.PersistentVolume(ctx, c.Spec.VolumeName)
		if err != nil {
			return nil, err
		}
		if pv.Spec.CSI != nil {
			name = pv.Spec.CSI.Driver
		}
	}
	if name == "" {
		return nil, nil
	}
	return p.objects.CSIDriver(ctx, name)
}

// signingRequest: a node asks for certificates in its own name.
func signingRequest(name string, a *admission.Attributes) error {
	if a.Operation != admission.Create || a.Subresource != "" {
		return nil
	}
	csr, ok := a.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if s := csr.Spec.SignerName; s != certificatesv1.KubeletServingSignerName && s != certificatesv1.KubeAPIServerClientKubeletSignerName {
		return nil
	}
	b, _ := pem.Decode(csr.Spec.Request)
	if b == nil {
		return errors.New("unable to parse csr: PEM block type must be CERTIFICATE REQUEST")
	}
	req, err := x509.ParseCertificateRequest(b.Bytes)
	if err != nil {
		return fmt.Errorf("unable to parse csr: %w", err)
	}
	if want := auth.NodePrefix + name; req.Subject.CommonName != want {
		return fmt.Errorf("can only create a node CSR with CN=%s", want)
	}
	return nil
}
