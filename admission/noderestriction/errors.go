package noderestriction

import (
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/admission"
)

// refuse makes an answer of an error: what is a status already (an object that
// was not found) stays, anything else is why the write is forbidden.
func refuse(a *admission.Attributes, err error) error {
	var s apierrors.APIStatus
	if errors.As(err, &s) {
		return err
	}
	return admission.Forbidden(a, err)
}
