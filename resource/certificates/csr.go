package certificates

import (
	"slices"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/columns"
)

type csr = certificatesv1.CertificateSigningRequest

// CertificateSigningRequest is the row of certificate signing requests.
func CertificateSigningRequest() *resource.Definition {
	spec, status := certificatesv1.CertificateSigningRequestSpec{}.SwaggerDoc(), certificatesv1.CertificateSigningRequestStatus{}.SwaggerDoc()
	return resource.Row[*csr]{
		Storage:       certificatesv1.SchemeGroupVersion,
		Kind:          "CertificateSigningRequest",
		Plural:        "certificatesigningrequests",
		ShortNames:    []string{"csr"},
		ClusterScoped: true,
		New:           func() *csr { return new(csr) },
		NewList:       func() runtime.Object { return new(certificatesv1.CertificateSigningRequestList) },
		// Any name will do that can be part of a URL.
		ValidateName:  path.ValidatePathSegmentName,
		PrepareCreate: prepareCreate,
		PrepareUpdate: func(_ *resource.Request, c, old *csr) {
			c.Spec, c.Status = *old.Spec.DeepCopy(), *old.Status.DeepCopy()
		},
		Validate: validateCreate,
		ValidateUpdate: func(c, old *csr) field.ErrorList {
			return validateUpdate(c, old, allowances(old))
		},
		Restored: []string{"spec"}, // nobody can change it
		Updates: map[string]resource.Update[*csr]{
			"approval": {
				Restored:      []string{"spec"},
				PrepareUpdate: prepareApproval,
				ValidateUpdate: func(c, old *csr) field.ErrorList {
					allow := allowances(old)
					allow.approval = true
					return validateUpdate(c, old, allow)
				},
			},
			"status": {
				PrepareUpdate: prepareStatus,
				ValidateUpdate: func(c, old *csr) field.ErrorList {
					allow := allowances(old)
					allow.certificate = true
					return validateUpdate(c, old, allow)
				},
			},
		},
		Fields: func(c *csr) map[string]string { return map[string]string{"spec.signerName": c.Spec.SignerName} },
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.Age(),
			columns.String("SignerName", spec["signerName"]),
			columns.String("Requestor", spec["request"]),
			columns.String("RequestedDuration", spec["expirationSeconds"]),
			columns.String("Condition", status["conditions"]),
		},
		Cells: func(c *csr, now time.Time) []any {
			signer, lifetime := columns.None, columns.None
			if c.Spec.SignerName != "" {
				signer = c.Spec.SignerName
			}
			if s := c.Spec.ExpirationSeconds; s != nil {
				lifetime = duration.HumanDuration(time.Duration(*s) * time.Second)
			}
			return []any{c.Name, columns.Since(c.CreationTimestamp, now), signer, c.Spec.Username, lifetime, conditionCell(c)}
		},
	}.Define()
}

// prepareCreate writes down who asks, whatever the object claims, and clears
// the status, so that nobody creates a request that is approved already.
func prepareCreate(req *resource.Request, c *csr) {
	c.Spec.Username, c.Spec.UID, c.Spec.Groups, c.Spec.Extra = "", "", nil, nil
	if u := req.User; u != nil {
		c.Spec.Username, c.Spec.UID, c.Spec.Groups = u.Name, u.UID, slices.Clone(u.Groups)
		if len(u.Extra) > 0 {
			c.Spec.Extra = make(map[string]certificatesv1.ExtraValue, len(u.Extra))
			for k, v := range u.Extra {
				c.Spec.Extra[k] = slices.Clone(v)
			}
		}
	}
	c.Status = certificatesv1.CertificateSigningRequestStatus{Conditions: []certificatesv1.CertificateSigningRequestCondition{}}
}

// prepareApproval lets an approver change the conditions only.
func prepareApproval(req *resource.Request, c, old *csr) {
	conditions := c.Status.Conditions
	c.Spec, c.Status = *old.Spec.DeepCopy(), *old.Status.DeepCopy()
	c.Status.Conditions = conditions
	stampConditions(req.Now, c, old)
}

// prepareStatus lets a signer change all of the status but the content of the
// conditions that an approver has set. Where it adds or removes such
// conditions, validation refuses the write.
func prepareStatus(req *resource.Request, c, old *csr) {
	c.Spec = *old.Spec.DeepCopy()
	keepConditions(c, old, certificatesv1.CertificateApproved)
	keepConditions(c, old, certificatesv1.CertificateDenied)
	stampConditions(req.Now, c, old)
}

// keepConditions replaces the conditions of one type by the old ones, where
// there are as many.
func keepConditions(c, old *csr, t certificatesv1.RequestConditionType) {
	were := conditionsOf(old, t)
	if len(were) != len(conditionsOf(c, t)) {
		return
	}
	next := 0
	for i := range c.Status.Conditions {
		if c.Status.Conditions[i].Type == t {
			c.Status.Conditions[i] = were[next]
			next++
		}
	}
}

func conditionsOf(c *csr, t certificatesv1.RequestConditionType) []certificatesv1.CertificateSigningRequestCondition {
	var out []certificatesv1.CertificateSigningRequestCondition
	for _, k := range c.Status.Conditions {
		if k.Type == t {
			out = append(out, k)
		}
	}
	return out
}

// stampConditions sets the times that the client left out. A condition that has
// not changed keeps the time of its transition.
func stampConditions(now metav1.Time, c, old *csr) {
	for i := range c.Status.Conditions {
		k := &c.Status.Conditions[i]
		if k.LastUpdateTime.IsZero() {
			k.LastUpdateTime = now
		}
		if !k.LastTransitionTime.IsZero() {
			continue
		}
		k.LastTransitionTime = now
		for _, was := range conditionsOf(old, k.Type) {
			if was.Status == k.Status && !was.LastTransitionTime.IsZero() {
				k.LastTransitionTime = was.LastTransitionTime
				break
			}
		}
	}
}

// conditionCell says in one word how far a request has come.
func conditionCell(c *csr) string {
	has := func(t certificatesv1.RequestConditionType) bool { return len(conditionsOf(c, t)) > 0 }
	s := "Pending"
	switch {
	case has(certificatesv1.CertificateDenied):
		s = "Denied"
	case has(certificatesv1.CertificateApproved):
		s = "Approved"
	}
	if has(certificatesv1.CertificateFailed) {
		s += ",Failed"
	}
	if len(c.Status.Certificate) > 0 {
		s += ",Issued"
	}
	return s
}
