package image

import (
	"fmt"
	"strings"
)

// Waiting reasons of a container whose image is not there.
const (
	ReasonPull                = "ErrImagePull"
	ReasonBackOff             = "ImagePullBackOff"
	ReasonInspect             = "ImageInspectError"
	ReasonNeverPull           = "ErrImageNeverPull"
	ReasonInvalidName         = "InvalidImageName"
	ReasonRegistryUnavailable = "RegistryUnavailable"
	ReasonSignature           = "SignatureValidationFailed"
)

// Error is a failure to have an image: a waiting reason and its message.
type Error struct {
	Reason  string
	Message string
	// Err is the cause, nil during back-off.
	Err error
}

func (e *Error) Error() string { return e.Reason + ": " + e.Message }
func (e *Error) Unwrap() error { return e.Err }

// pullError classifies what the runtime said. Runtimes begin their message
// with a reason of CRI, as a gRPC error carries nothing else.
func pullError(image string, err error) *Error {
	msg := err.Error()
	if i := strings.Index(msg, "desc = "); i >= 0 && strings.HasPrefix(msg, "rpc error:") {
		msg = msg[i+len("desc = "):]
	}
	for reason, why := range map[string]string{
		ReasonRegistryUnavailable: "the registry is unavailable",
		ReasonSignature:           "the signature validation failed",
	} {
		if rest, ok := strings.CutPrefix(msg, reason); ok {
			return &Error{reason, fmt.Sprintf("image pull failed for %s because %s%s", image, why, rest), err}
		}
	}
	return &Error{ReasonPull, err.Error(), err}
}
