package certificates

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	certificateslisters "k8s.io/client-go/listers/certificates/v1"
	corelisters "k8s.io/client-go/listers/core/v1"

	"proa/controller"
)

// serviceAccount of all three controllers, as upstream's.
const serviceAccount = "certificate-controller"

// askAgain is when policy is asked again about a request that it did not allow:
// the binding that allows it may follow.
const askAgain = 15 * time.Second

// Approving approves what nodes need.
func Approving() controller.Definition {
	return controller.Definition{Name: "certificatesigningrequest-approving-controller", ServiceAccount: serviceAccount, New: newApprover}
}

type approver struct {
	env      controller.Env
	loop     *controller.Loop[string]
	requests certificateslisters.CertificateSigningRequestLister
	nodes    corelisters.NodeLister
	services corelisters.ServiceLister
}

func newApprover(env controller.Env) (controller.Controller, error) {
	requests, core := env.Informers.Certificates().V1().CertificateSigningRequests(), env.Informers.Core().V1()
	a := &approver{env: env, requests: requests.Lister(), nodes: core.Nodes().Lister(), services: core.Services().Lister()}
	a.loop = controller.NewLoop("csrapproving", env, 2, a.reconcile)
	if err := controller.Watch(a.loop, requests.Informer(), live); err != nil {
		return nil, err
	}
	// A node registers before it shows its addresses.
	return a, controller.Watch(a.loop, core.Nodes().Informer(), func(old, node *v1.Node, deleted bool) []string {
		if deleted || old != nil && sameAddresses(old, node) {
			return nil
		}
		return a.waiting(node)
	})
}

// live is the keys function of requests.
func live(_, r *request, deleted bool) []string {
	if deleted {
		return nil
	}
	return []string{r.Name}
}

func sameAddresses(a, b *v1.Node) bool {
	if len(a.Status.Addresses) != len(b.Status.Addresses) {
		return false
	}
	for i, x := range a.Status.Addresses {
		if x != b.Status.Addresses[i] {
			return false
		}
	}
	return true
}

// waiting lists the undecided requests of a node for serving certificates.
func (a *approver) waiting(node *v1.Node) []string {
	all, err := a.requests.List(labels.Everything())
	if err != nil {
		return nil // a lister of a cache does not fail
	}
	var names []string
	for _, r := range all {
		if r.Spec.SignerName == certificatesv1.KubeletServingSignerName && r.Spec.Username == nodePrefix+node.Name && !decided(r) {
			names = append(names, r.Name)
		}
	}
	return names
}

// Run implements controller.Controller.
func (a *approver) Run(ctx context.Context) error { return a.loop.Run(ctx) }

func (a *approver) reconcile(ctx context.Context, name string) (controller.Result, error) {
	r, err := a.requests.Get(name)
	if apierrors.IsNotFound(err) {
		return controller.Done, nil
	}
	if err != nil || decided(r) || len(r.Status.Certificate) > 0 {
		return controller.Done, err
	}
	c, err := parse(r)
	if err != nil {
		return controller.Done, nil // validation lets none in
	}
	kinds := recognize(r, c)
	for _, k := range kinds {
		ok, err := a.allowed(ctx, r, c, k)
		if err != nil {
			return controller.Done, err
		}
		if !ok {
			continue
		}
		r = r.DeepCopy()
		r.Status.Conditions = append(r.Status.Conditions, conditionOf(certificatesv1.CertificateApproved, "AutoApproved", k.message()))
		if _, err := a.env.Client.CertificatesV1().CertificateSigningRequests().UpdateApproval(ctx, name, r, metav1.UpdateOptions{}); err != nil {
			return controller.Done, fmt.Errorf("approve: %w", err)
		}
		return controller.Done, nil
	}
	if len(kinds) > 0 && kinds[0] != nodeServing {
		return controller.Again(askAgain), nil
	}
	return controller.Done, nil
}

func (a *approver) allowed(ctx context.Context, r *request, c *x509.CertificateRequest, k kind) (bool, error) {
	if k == nodeServing {
		return a.ownServing(c)
	}
	extra := map[string]authorizationv1.ExtraValue{}
	for key, v := range r.Spec.Extra {
		extra[key] = authorizationv1.ExtraValue(v)
	}
	review, err := a.env.Client.AuthorizationV1().SubjectAccessReviews().Create(ctx, &authorizationv1.SubjectAccessReview{
		Spec: authorizationv1.SubjectAccessReviewSpec{
			User: r.Spec.Username, UID: r.Spec.UID, Groups: r.Spec.Groups, Extra: extra,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: certificatesv1.GroupName, Version: "*", Resource: "certificatesigningrequests", Subresource: k.permission(), Verb: "create",
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask for the permission %s of %s: %w", k.permission(), r.Spec.Username, err)
	}
	return review.Status.Allowed, nil
}

// ownServing asks whether the addresses of a certificate are the node's own.
func (a *approver) ownServing(c *x509.CertificateRequest) (bool, error) {
	node, err := a.nodes.Get(nodeOf(c))
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	others, err := a.nodes.List(labels.Everything())
	if err != nil {
		return false, err
	}
	services, err := a.services.List(labels.Everything())
	if err != nil {
		return false, err
	}
	var reserved []string
	for _, s := range services {
		reserved = append(reserved, s.Spec.ClusterIPs...)
	}
	ok := ownAddresses(c, node, others, reserved)
	if !ok {
		a.env.Log.Info("a serving certificate is not for its node's own addresses, or the node does not show them yet; it waits for approval",
			"node", node.Name, "names", strings.Join(c.DNSNames, ","), "addresses", c.IPAddresses)
	}
	return ok, nil
}
