package observe

import (
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// IsNotFound reports whether a CRI error says that the object does not exist.
func IsNotFound(err error) bool { return err != nil && status.Code(err) == codes.NotFound }
