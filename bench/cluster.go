package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	protobuf = "application/vnd.kubernetes.protobuf"
	jsonType = "application/json"
)

// cluster is one that this program starts and ends with the proa command.
type cluster struct {
	proa string // the program
	dir  string // its data directory: short, for the sockets below it
	id   string
	cpu  *account
	// hollow is how many hollow nodes the next start brings up.
	hollow int
	// pods is the range of all pods.
	pods string
}

func newCluster(binDir string) (*cluster, error) {
	proa, err := filepath.Abs(filepath.Join(binDir, "proa"))
	if err != nil {
		return nil, fmt.Errorf("find proa: %w", err)
	}
	id := fmt.Sprintf("pb%d", os.Getpid())
	cpu, err := newAccount(id)
	if err != nil {
		return nil, err
	}
	return &cluster{proa: proa, dir: filepath.Join("/tmp", id), id: id, cpu: cpu, pods: "10.251.0.0/24"}, nil
}

func (c *cluster) name() string { return "Proa" }

func (c *cluster) accounting() *account { return c.cpu }

func (c *cluster) kubeconfig() string { return filepath.Join(c.dir, "admin.kubeconfig") }

func (c *cluster) args(command string, more ...string) []string {
	return append([]string{
		command, "--data-dir", c.dir, "--log-level", "warn", "--node-ip", roomAddress, "--node-name", "bench",
		"--bridge", c.id, "--pod-cidr", c.pods, "--service-cidr", "10.252.0.0/24", "--cgroup-root", "/" + c.id,
	}, more...)
}

// startTimes count from the exec of "proa up".
type startTimes struct{ api, node time.Duration }

// up starts the cluster and returns when it is ready.
func (c *cluster) up(ctx context.Context) (t startTimes, err error) {
	cmd := exec.CommandContext(ctx, c.proa, c.args("up", "--keep-kubeconfig", "--hollow-nodes", strconv.Itoa(c.hollow))...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = endGrace
	out, err := cmd.StdoutPipe()
	if err != nil {
		return t, fmt.Errorf("make a pipe: %w", err)
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return t, fmt.Errorf("start proa: %w", err)
	}
	// It has work to do before it starts the server; the server joins once more
	// in case that it was faster.
	if err := c.cpu.join(cmd.Process.Pid); err != nil {
		return t, errors.Join(err, cmd.Cancel(), cmd.Wait())
	}
	t, err = c.follow(ctx, out, start)
	if werr := cmd.Wait(); werr != nil {
		return t, fmt.Errorf("proa up: %w", werr)
	}
	pid, serr := c.server()
	if err = errors.Join(err, serr); err != nil {
		return t, err
	}
	return t, c.cpu.join(pid)
}

// follow reads what "proa up" tells, and notes when the API server answers and
// when the cluster is ready. It reads to the end, so that proa never blocks.
func (c *cluster) follow(ctx context.Context, out io.Reader, start time.Time) (t startTimes, err error) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		switch line := strings.TrimSpace(lines.Text()); {
		case strings.HasPrefix(line, "API server"):
			if err = c.askReady(ctx); err == nil {
				t.api = time.Since(start)
			}
		case strings.HasPrefix(line, "The cluster is ready"):
			t.node = time.Since(start)
		}
	}
	return t, errors.Join(err, lines.Err())
}

func (c *cluster) askReady(ctx context.Context) error {
	client, err := c.client(protobuf, false)
	if err != nil {
		return err
	}
	if _, err := client.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); err != nil {
		return fmt.Errorf("ask whether the API server is ready: %w", err)
	}
	return nil
}

// down ends the cluster, with purge its data too.
func (c *cluster) down(ctx context.Context, purge bool) error {
	var more []string
	if purge {
		more = append(more, "--purge")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endGrace)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.proa, c.args("down", more...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("proa down: %w: %s", err, out)
	}
	return nil
}

// server is the process id of the running server.
func (c *cluster) server() (int, error) {
	b, err := os.ReadFile(filepath.Join(c.dir, "proa.lock"))
	if err != nil {
		return 0, fmt.Errorf("find the server: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("find the server: %w", err)
	}
	return pid, nil
}

func (c *cluster) client(contentType string, alone bool) (kubernetes.Interface, error) {
	return newClient(c.kubeconfig(), contentType, alone)
}

// newClient is as side.client says.
func newClient(kubeconfig, contentType string, alone bool) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the cluster's kubeconfig: %w", err)
	}
	config.QPS = -1
	config.ContentConfig = rest.ContentConfig{ContentType: contentType, AcceptContentTypes: contentType}
	if alone {
		config.Dial = (&net.Dialer{}).DialContext // client-go shares no connection of a foreign dialer
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	return client, nil
}
