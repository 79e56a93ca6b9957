package cni

import (
	"errors"
	"syscall"

	"github.com/vishvananda/netlink"
)

func isNotFound(err error) bool {
	var missing netlink.LinkNotFoundError
	return errors.As(err, &missing)
}

// isGone tells an interface that vanished between being listed and deleted.
func isGone(err error) bool {
	return isNotFound(err) || errors.Is(err, syscall.ENODEV)
}
