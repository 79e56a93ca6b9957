package health

import (
	"errors"
	"net/http"
	"sync/atomic"
)

// Hook is something that a server does once after its start, and is not ready
// before. Safe for concurrent use.
type Hook struct {
	// Name of its check, which upstream prefixes with "poststarthook/".
	Name string
	done atomic.Bool
}

// Done says that it has been done.
func (h *Hook) Done() { h.done.Store(true) }

// Check fails until it has been done.
func (h *Hook) Check() Check {
	return Check{Name: h.Name, Check: func(*http.Request) error {
		if !h.done.Load() {
			return errors.New("not finished")
		}
		return nil
	}}
}
