package cluster

import (
	"fmt"
	"net"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// listenIn listens in another network namespace, which a socket keeps.
func listenIn(namespace, address string) (net.Listener, error) {
	there, err := os.Open(namespace)
	if err != nil {
		return nil, err
	}
	defer there.Close()
	type result struct {
		net.Listener
		error
	}
	done := make(chan result)
	go func() {
		// The thread that has been elsewhere ends with this goroutine, which is
		// never unlocked from it.
		runtime.LockOSThread()
		if err := unix.Setns(int(there.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{error: fmt.Errorf("enter %s: %w", namespace, err)}
			return
		}
		l, err := net.Listen("tcp", address)
		done <- result{l, err}
	}()
	r := <-done
	return r.Listener, r.error
}
