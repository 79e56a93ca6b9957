package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	admissionv1 "k8s.io/api/admission/v1"
	admissionv1beta1 "k8s.io/api/admission/v1beta1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"

	"proa/admission"
)

const (
	v1      = "v1"
	v1beta1 = "v1beta1"
)

// known: a version of AdmissionReview that this server speaks.
func known(version string) bool { return version == v1 || version == v1beta1 }

// answers reads what webhooks answer. It is made when the first does.
var answers = sync.OnceValue(func() runtime.Decoder {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{admissionv1.AddToScheme, admissionv1beta1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // constants
		}
	}
	return serializer.NewCodecFactory(s).UniversalDeserializer()
})

// ask makes the review to send. The two versions have the same form.
func ask(v *admission.View, version string, uid types.UID) ([]byte, error) {
	r := v.Request()
	r.UID = uid
	obj, old, err := v.JSON()
	if err != nil {
		return nil, err
	}
	r.Object.Raw, r.OldObject.Raw = obj, old
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/" + version, Kind: "AdmissionReview"},
		Request:  r,
	}
	return json.Marshal(&review)
}

// read takes an answer apart and checks that it is one to this review.
func read(body []byte, version string, uid types.UID, mutating bool) (*admissionv1.AdmissionResponse, error) {
	if version == v1beta1 {
		return readBeta(body, mutating)
	}
	review := &admissionv1.AdmissionReview{}
	if err := decode(body, review); err != nil {
		return nil, err
	}
	r := review.Response
	if r == nil {
		return nil, invalidAnswer("webhook response was absent")
	}
	if r.UID != uid {
		return nil, invalidAnswer("expected response.uid=%q, got %q", uid, r.UID)
	}
	if want, got := admissionv1.SchemeGroupVersion.WithKind("AdmissionReview"), review.GroupVersionKind(); got != want {
		return nil, invalidAnswer("expected webhook response of %v, got %v", want, got)
	}
	switch {
	case !mutating && len(r.Patch) > 0:
		return nil, invalidAnswer("validating webhook may not return response.patch")
	case !mutating && r.PatchType != nil:
		return nil, invalidAnswer("validating webhook may not return response.patchType")
	case len(r.Patch) > 0 && r.PatchType == nil:
		return nil, invalidAnswer("webhook returned response.patch but not response.patchType")
	case len(r.Patch) == 0 && r.PatchType != nil:
		return nil, invalidAnswer("webhook returned response.patchType but not response.patch")
	case r.PatchType != nil && *r.PatchType == "":
		return nil, invalidAnswer("webhook returned invalid response.patchType of %q", *r.PatchType)
	}
	return r, nil
}

// readBeta reads an answer of the old version, of which less is demanded.
func readBeta(body []byte, mutating bool) (*admissionv1.AdmissionResponse, error) {
	review := &admissionv1beta1.AdmissionReview{}
	if err := decode(body, review); err != nil {
		return nil, err
	}
	r := review.Response
	if r == nil {
		return nil, invalidAnswer("webhook response was absent")
	}
	out := &admissionv1.AdmissionResponse{
		UID: r.UID, Allowed: r.Allowed, Result: r.Result, AuditAnnotations: r.AuditAnnotations, Warnings: r.Warnings,
	}
	if mutating && len(r.Patch) > 0 {
		t := admissionv1.PatchTypeJSONPatch // the only one there is
		out.Patch, out.PatchType = r.Patch, &t
	}
	return out, nil
}

func decode(body []byte, into runtime.Object) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return fmt.Errorf("0-length response")
	}
	got, _, err := answers().Decode(body, nil, into)
	if err == nil && got != into {
		err = fmt.Errorf("unexpected response type %T", got)
	}
	return err
}

// answerError: an answer has come, but does not make sense.
type answerError struct{ error }

func invalidAnswer(format string, args ...any) error {
	return answerError{fmt.Errorf(format, args...)}
}

// callError: the webhook could not be asked, or not understood. Its failure
// policy says what that means.
type callError struct {
	hook   string
	reason error
}

func (e *callError) Error() string {
	return fmt.Sprintf("failed calling webhook %q: %v", e.hook, e.reason)
}
func (e *callError) Unwrap() error { return e.reason }

// denied is the refusal by a webhook, with the status that it gave.
func denied(hook string, s *metav1.Status) error {
	if s == nil {
		s = &metav1.Status{}
	}
	if s.Code < http.StatusBadRequest {
		s.Code = http.StatusBadRequest
	}
	if s.Status == "" || s.Status == metav1.StatusSuccess {
		s.Status = metav1.StatusFailure
	}
	by := fmt.Sprintf("admission webhook %q denied the request", hook)
	switch {
	case s.Message != "":
		s.Message = by + ": " + s.Message
	case s.Reason != "":
		s.Message = by + ": " + string(s.Reason)
	default:
		s.Message = by + " without explanation"
	}
	return denial{&apierrors.StatusError{ErrStatus: *s}}
}

var errTimedOut = apierrors.NewTimeoutError("request did not complete within requested timeout", 0)

// asCallError finds the error of a webhook that could not be asked.
func asCallError(err error) *callError {
	var c *callError
	errors.As(err, &c)
	return c
}
