package respond

import (
	"context"
	"errors"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/codec"
	"proa/apiserver/negotiate"
	"proa/store"
)

var statusKind = metav1.SchemeGroupVersion.WithKind("Status")

// StatusOf turns an error into what is sent: API errors as they are, those of
// the store by what they mean to a client, anything else as an internal error
// without a reason.
func StatusOf(err error) metav1.Status {
	var s metav1.Status
	var api apierrors.APIStatus
	switch {
	case errors.As(err, &api):
		s = api.Status()
	case errors.Is(err, context.DeadlineExceeded):
		s = apierrors.NewTimeoutError("request did not complete within the allotted timeout", 0).Status()
	case errors.Is(err, store.ErrUnavailable):
		s = apierrors.NewServiceUnavailable("the store is not available: " + err.Error()).Status()
		s.Details = &metav1.StatusDetails{RetryAfterSeconds: 1}
	case errors.Is(err, store.ErrUncertain):
		// Without a hint to retry: client libraries follow it blindly, and would
		// make the write a second time.
		s = apierrors.NewTimeoutError("the store did not confirm the write in time; it may have been made: "+err.Error(), 0).Status()
	case errors.Is(err, store.ErrTooLarge):
		s = apierrors.NewRequestEntityTooLargeError("the object is too large for the store").Status()
	default:
		s = metav1.Status{Code: http.StatusInternalServerError, Reason: metav1.StatusReasonUnknown, Message: err.Error()}
	}
	if s.Status == "" {
		s.Status = metav1.StatusFailure
	}
	if s.Code == 0 {
		if s.Status == metav1.StatusSuccess {
			s.Code = http.StatusOK
		} else {
			s.Code = http.StatusInternalServerError
		}
	}
	s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	return s
}

// Error writes an error as a status. Nothing may have been written before.
func Error(w http.ResponseWriter, r *http.Request, err error) {
	s := StatusOf(err)
	Status(w, r, &s)
}

// Status writes a status in the format that the client accepts, or in JSON
// where it accepts none.
func Status(w http.ResponseWriter, r *http.Request, s *metav1.Status) {
	out, err := negotiate.Accept(r, negotiate.Allowed{})
	if err != nil {
		out = negotiate.Output{}
	}
	s.TypeMeta = metav1.TypeMeta{Kind: "Status", APIVersion: "v1"}
	if s.Details != nil && s.Details.RetryAfterSeconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(s.Details.RetryAfterSeconds)))
	}
	buf := codec.Buffer()
	defer codec.Release(buf)
	gvk := statusKind
	gvk.Group, gvk.Version = "", "v1"
	*buf, err = codec.Append(*buf, out.Format, s, gvk, out.Pretty)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	Bytes(w, r, int(s.Code), out.ContentType(), *buf)
}
