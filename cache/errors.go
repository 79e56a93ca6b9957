package cache

import (
	"errors"
	"fmt"
	"net/http"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/resource"
)

var (
	// ErrNotFound: there is no such object.
	ErrNotFound = errors.New("object not found")
	// ErrSlow ends a watch whose reader fell too far behind. Watching again
	// from the last revision may still work.
	ErrSlow = errors.New("watch was too slow and has been cut")
	// ErrGone ends the watches of a resource that is no longer served.
	ErrGone = errors.New("resource is no longer served")
)

// ExpiredError: the revision asked for is older than what is remembered.
type ExpiredError struct {
	// Requested and Oldest revision.
	Requested, Oldest int64
	// Paging: a page of a list was asked for. Continue is then a token with
	// which the list can be continued, inconsistently, at the present.
	Paging   bool
	Continue string
}

func (e *ExpiredError) Error() string {
	return fmt.Sprintf("too old resource version: %d (%d)", e.Requested, e.Oldest)
}

// FutureError: the revision asked for was not reached in time.
type FutureError struct {
	Requested, Present int64
	// Unavailable: the store did not say what the present revision is, or did
	// not deliver it, so that a consistent read is not possible now.
	Unavailable bool
	Err         error
}

func (e *FutureError) Error() string {
	if e.Unavailable {
		return fmt.Sprintf("cache is behind the store (at %d, needs %d)", e.Present, e.Requested)
	}
	return fmt.Sprintf("Too large resource version: %d, current: %d", e.Requested, e.Present)
}

func (e *FutureError) Unwrap() error { return e.Err }

// CorruptError: the stored value cannot be decoded.
type CorruptError struct {
	Key string
	Err error
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("the stored object at %s cannot be decoded: %v", e.Key, e.Err)
}

func (e *CorruptError) Unwrap() error { return e.Err }

// ContinueError: a continue token is malformed.
type ContinueError struct{ Reason string }

func (e *ContinueError) Error() string {
	return "invalid continue token: continue key is not valid: " + e.Reason
}

// Status translates an error of this package into the API status that
// upstream's clients understand, or returns nil where it is none of these.
func Status(def *resource.Definition, name string, err error) *apierrors.StatusError {
	var (
		expired   *ExpiredError
		future    *FutureError
		corrupt   *CorruptError
		malformed *ContinueError
	)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, ErrNotFound):
		return apierrors.NewNotFound(def.GroupResource(), name)
	case errors.As(err, &expired) && expired.Paging:
		s := apierrors.NewResourceExpired("The provided continue parameter is too old " +
			"to display a consistent list result. You can start a new list without " +
			"the continue parameter, or use the continue token in this response to " +
			"retrieve the remainder of the results. Continuing with the provided " +
			"token results in an inconsistent list - objects that were created, " +
			"modified, or deleted between the time the first chunk was returned " +
			"and now may show up in the list.")
		s.ErrStatus.Continue = expired.Continue
		return s
	case errors.As(err, &expired):
		return apierrors.NewResourceExpired(expired.Error())
	case errors.As(err, &future) && future.Unavailable:
		s := apierrors.NewTooManyRequests("storage is (re)initializing", 1)
		return s
	case errors.As(err, &future):
		s := apierrors.NewTimeoutError(future.Error(), 1)
		s.ErrStatus.Details.Causes = []metav1.StatusCause{{
			Type:    metav1.CauseTypeResourceVersionTooLarge,
			Message: "Too large resource version",
		}}
		return s
	case errors.As(err, &corrupt):
		return &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusInternalServerError,
			Reason:  metav1.StatusReasonStoreReadError,
			Message: corrupt.Error(),
			Details: &metav1.StatusDetails{Group: def.Storage.Group, Kind: def.Plural, Name: name},
		}}
	case errors.As(err, &malformed):
		return apierrors.NewBadRequest(malformed.Error())
	case errors.Is(err, ErrSlow), errors.Is(err, ErrGone):
		return apierrors.NewResourceExpired(err.Error())
	}
	return nil
}
