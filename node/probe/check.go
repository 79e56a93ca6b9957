package probe

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/exec"
)

// maxOutput bounds what is kept of a check's output.
const maxOutput = 10 << 10

// Execer runs a command in a container; a cri-api RuntimeService provides it.
type Execer interface {
	ExecSync(ctx context.Context, containerID string, cmd []string, timeout time.Duration) (stdout, stderr []byte, err error)
}

// Dialer makes all kinds of checks.
type Dialer struct {
	Exec Execer
	// Expand replaces $(VAR) in the command of an exec check by the container's
	// environment; nil leaves commands alone.
	Expand func(t Target, cmd []string) []string
	// Version goes into the user agent of HTTP and gRPC checks ("1.36").
	Version string
}

// Check implements Checker.
func (d *Dialer) Check(ctx context.Context, t Target, p *v1.Probe) (Outcome, string, error) {
	timeout := time.Duration(max(p.TimeoutSeconds, 1)) * time.Second
	switch {
	case p.Exec != nil:
		return d.exec(ctx, t, p.Exec, timeout)
	case p.HTTPGet != nil:
		return d.http(ctx, t, p.HTTPGet, timeout)
	case p.TCPSocket != nil:
		return d.tcp(ctx, t, p.TCPSocket, timeout)
	case p.GRPC != nil:
		return d.grpc(ctx, t, p.GRPC, timeout)
	}
	return Failure, "", fmt.Errorf("missing probe handler for %s:%s", t.Pod.Namespace, t.Pod.Name)
}

// exec runs the command in the container: exit code 0 is success. A command that
// runs out of time has failed.
func (d *Dialer) exec(ctx context.Context, t Target, a *v1.ExecAction, timeout time.Duration) (Outcome, string, error) {
	cmd := a.Command
	if d.Expand != nil {
		cmd = d.Expand(t, cmd)
	}
	stdout, stderr, err := d.Exec.ExecSync(ctx, t.ID, cmd, timeout)
	out := cut(append(stdout, stderr...))
	if err == nil {
		return Success, out, nil
	}
	var exit exec.ExitError
	if errors.As(err, &exit) {
		if exit.ExitStatus() == 0 {
			return Success, out, nil
		}
		return Failure, out, nil
	}
	if timedOut(err) {
		return Failure, fmt.Sprintf("command timed out: %q timed out after %s", cmd, timeout), nil
	}
	return Failure, "", err
}

// tcp succeeds when a connection can be opened.
func (d *Dialer) tcp(ctx context.Context, t Target, a *v1.TCPSocketAction, timeout time.Duration) (Outcome, string, error) {
	port, err := resolvePort(a.Port, t.Container)
	if err != nil {
		return Failure, "", err
	}
	host := a.Host
	if host == "" {
		host = t.IP
	}
	conn, err := (&net.Dialer{Timeout: timeout, Control: quickClose}).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return Failure, err.Error(), nil
	}
	_ = conn.Close() // nothing was written that could be lost
	return Success, "", nil
}

// resolvePort turns a port number or the name of a container port into a number.
func resolvePort(p intstr.IntOrString, c *v1.Container) (int, error) {
	port := p.IntValue()
	if p.Type == intstr.String {
		found := false
		for i := range c.Ports {
			if c.Ports[i].Name == p.StrVal {
				port, found = int(c.Ports[i].ContainerPort), true
			}
		}
		if !found {
			n, err := strconv.Atoi(p.StrVal)
			if err != nil {
				return 0, fmt.Errorf("port %q not found", p.StrVal)
			}
			port = n
		}
	}
	if port <= 0 || port > 65535 {
		return 0, fmt.Errorf("invalid port number: %d", port)
	}
	return port, nil
}

// cut bounds an output.
func cut(b []byte) string { return string(b[:min(len(b), maxOutput)]) }

// readCut reads a bounded part of r.
func readCut(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxOutput))
	return string(b), err
}
