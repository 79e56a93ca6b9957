package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// logMaxSize is at how many bytes logs are rotated here.
const logMaxSize = 32 << 10

// TestSettings is a node whose agent has settings of its own, in upstream's form:
// bounds of logs, and pods from a web server and from a socket; and whose network
// policies another enforces.
func TestSettings(t *testing.T) {
	t.Parallel()
	c := newMachine(t)
	web := c.manifestServer(t)
	socket := filepath.Join(c.dir, "push.sock")
	c.configure(fmt.Sprintf(`    containerLogMaxSize: "%d"
    containerLogMaxFiles: 3
    containerLogMonitorInterval: 3s
    staticPodURL: %s/pods
    staticPodURLHeader: {X-Key: [open]}
    httpCheckFrequency: 1s
  pushSocket: %s
`, logMaxSize, web.url, socket))
	c.flags = append(c.flags, "--network-policy", "none")
	run(t, "ip", "netns", "exec", c.netns, "nft", "add", "table", "inet", "proa-policy") // as a server leaves it that enforced them
	c.up()
	t.Run("parts", func(t *testing.T) {
		t.Run("policies", func(t *testing.T) { t.Parallel(); testOthersPolicies(c.user(t)) })
		t.Run("logs", func(t *testing.T) { t.Parallel(); testLogRotation(c.user(t)) })
		t.Run("URL", func(t *testing.T) { t.Parallel(); testPodsFromURL(c.userIn(t, "default"), web) })
	})
	t.Run("push", func(t *testing.T) { testPushedPods(c.userIn(t, "default"), socket) })
}

// Policies that another enforces leave no trace in the kernel. The other is here
// the part that does it alone.
func testOthersPolicies(u *user) {
	u.feed(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {matchLabels: {run: web}}}
`, "apply", "-f", "-")
	u.kubectl("run", "web", "--image=proa.local/hello:1")
	u.kubectl("run", "client", "--image=proa.local/hello:1")
	u.pod("client", "ready", ready)
	web := "timeout 2 wget -qO- http://" + u.pod("web", "ready", ready).Status.PodIP + ":8080/"
	u.works("exec", "client", "--", "sh", "-c", web)
	if out, err := u.command("", "nft", "list", "tables"); err != nil || strings.Contains(out, "proa-policy") {
		u.t.Errorf("the tables are %s %v", out, err)
	}
	alone := u.cluster.start("network-policy", "network-policy", "--kubeconfig", filepath.Join(u.dir, "d", "proxy.kubeconfig"), "--hostname-override", "node")
	isolated := func() string {
		if out, err := u.try("", "exec", "client", "--", "sh", "-c", web); err == nil {
			return "an isolated pod answers: " + out
		}
		return ""
	}
	eventually(u.t, isolated)
	alone.end(syscall.SIGTERM)
	if why := isolated(); why != "" {
		u.t.Error("once the part has ended, " + why)
	}
	if out, err := u.command("", filepath.Join(u.bin, "proa"), "network-policy", "--cleanup"); err != nil {
		u.t.Fatalf("%v: %s", err, out)
	}
	u.works("exec", "client", "--", "sh", "-c", web)
}

// lines checks that a log has numbered lines without a gap, up to the last, and
// returns the number of the first.
func lines(t *testing.T, log string, last int) int {
	t.Helper()
	first, next := -1, 0
	for line := range strings.Lines(log) {
		var n int
		if _, err := fmt.Sscanf(line, "line %d ", &n); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if first < 0 {
			first, next = n, n
		}
		if n != next {
			t.Fatalf("line %d follows line %d", n, next-1)
		}
		next++
	}
	if next != last+1 {
		t.Fatalf("the log ends with line %d, not %d", next-1, last)
	}
	return first
}

// A log is rotated while it is written, read and followed: who follows loses
// nothing, who asks gets what is left, without a gap, and what lies on the disk is
// bounded.
func testLogRotation(u *user) {
	const last = 2999
	u.apply(onePod(fmt.Sprintf(`i=0; while [ $i -le %d ]; do echo "line $i of a log that is long enough to be rotated more than once"; i=$((i+1)); [ $((i%%100)) = 0 ] && sleep 0.5; done; sleep 3600`, last),
		"", "terminationGracePeriodSeconds: 0"))
	p := u.pod("p", "running", func(p *corev1.Pod) bool { return container(p, "c").State.Running != nil })
	ctx, cancel := context.WithTimeout(u.t.Context(), patience)
	defer cancel()
	follower := u.inside(ctx, u.program[0], "-n", u.namespace, "logs", "-f", "p")
	out, err := follower.StdoutPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	if err := follower.Start(); err != nil {
		u.t.Fatal(err)
	}
	var followed strings.Builder
	for s := bufio.NewScanner(out); s.Scan(); {
		fmt.Fprintln(&followed, s.Text())
		if strings.HasPrefix(s.Text(), fmt.Sprintf("line %d ", last)) {
			break
		}
	}
	cancel()
	_ = follower.Wait() // it was cut off
	if first := lines(u.t, followed.String(), last); first != 0 {
		u.t.Errorf("who follows begins with line %d", first)
	}
	dir := filepath.Join(u.dir, "d", "log", "pods", fmt.Sprintf("%s_p_%s", u.namespace, p.UID), "c")
	// Who asks gets what has been written since the last rotation, which may be
	// nothing.
	left := settled(u.t, filepath.Join(dir, "0.log"))
	for _, tt := range []struct {
		args []string
		want int
	}{{[]string{"logs", "p"}, left}, {[]string{"logs", "p", "--tail", "3"}, min(left, 3)}} {
		out := u.kubectl(tt.args...)
		if tt.want == 0 && out == "" {
			continue
		}
		if first := lines(u.t, out, last); first != last+1-tt.want {
			u.t.Errorf("%q begins with line %d, want the last %d", tt.args, first, tt.want)
		}
	}
	if left > last {
		u.t.Error("the log was not rotated")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		u.t.Fatal(err)
	}
	packed := 0
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".gz") {
			packed++
		}
	}
	if len(entries) != 3 || packed != 1 {
		u.t.Errorf("on the disk are %v", entries)
	}
}

// settled waits until a log is so small that it will not be rotated again, and
// returns how many lines are in it.
func settled(t *testing.T, path string) int {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		// There is none for a moment while it is rotated.
		if b, err := os.ReadFile(path); err == nil && len(b) < logMaxSize {
			return strings.Count(string(b), "\n")
		}
	}
	t.Fatalf("%s is not rotated", path)
	return 0
}

// manifests is a web server in the cluster's network, which gives one body.
type manifests struct {
	url string

	mu   sync.Mutex
	code int
	body string
	bad  []string // requests without the header
	asks chan struct{}
}

func (c *cluster) manifestServer(t *testing.T) *manifests {
	t.Helper()
	m := &manifests{code: http.StatusServiceUnavailable, asks: make(chan struct{})}
	var l net.Listener
	err := c.within(func() (err error) {
		l, err = net.Listen("tcp", net.JoinHostPort(nodeAddress, "0"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m.url = "http://" + l.Addr().String()
	server := &http.Server{Handler: m}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return m
}

func (m *manifests) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Header.Get("X-Key") != "open" || r.URL.Path != "/pods" {
		m.bad = append(m.bad, r.URL.Path)
	}
	select {
	case m.asks <- struct{}{}:
	default: // nobody waits
	}
	w.WriteHeader(m.code)
	io.WriteString(w, m.body)
}

func (m *manifests) give(code int, body string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.code, m.body = code, body
}

// staticPod is a manifest of a pod that shows its version.
func staticPod(name, version string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {version: %q}}
spec:
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "proa.local/hello:1", command: [sh, -c, %q]}]
`, name, version, forever)
}

// version waits until a mirror pod runs of this version, and returns it.
func (u *user) version(name, version string) *corev1.Pod {
	u.t.Helper()
	return u.pod(name+"-node", "running in version "+version, func(p *corev1.Pod) bool {
		return p.Labels["version"] == version && ready(p)
	})
}

// Pods come from a web server, which may be down when the node starts, and later.
func testPodsFromURL(u *user, web *manifests) {
	web.give(http.StatusOK, staticPod("far", "1"))
	first := u.version("far", "1")
	if s := first.Annotations["kubernetes.io/config.source"]; s != "http" {
		u.t.Errorf("the pod's source is %q", s)
	}
	second := staticPod("near", "1")
	web.give(http.StatusOK, staticPod("far", "2")+"---"+second)
	u.version("far", "2")
	near := u.version("near", "1")

	// What cannot be read changes nothing: the last container is the same when the
	// next content has come.
	for _, bad := range []struct {
		code int
		body string
	}{{http.StatusOK, "kind: ["}, {http.StatusOK, ""}, {http.StatusNotFound, "gone"}} {
		web.give(bad.code, bad.body)
		web.asked(u.t)
	}
	web.give(http.StatusOK, staticPod("far", "3")+"---"+second)
	u.version("far", "3")
	if now := u.version("near", "1"); container(now, "c").ContainerID != container(near, "c").ContainerID {
		u.t.Errorf("a pod that did not change was restarted")
	}
	u.gone("far-node", func() { web.give(http.StatusOK, second) })
	web.mu.Lock()
	defer web.mu.Unlock()
	if len(web.bad) > 0 {
		u.t.Errorf("asked without the header: %q", web.bad)
	}
}

// asked waits until the node has asked twice, and so has dealt with the first answer.
func (m *manifests) asked(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 2 {
		select {
		case <-m.asks:
		case <-ctx.Done():
			t.Fatal("the node does not ask")
		}
	}
}

// Pods come by a socket that only root may open, and outlive the server.
func testPushedPods(u *user, socket string) {
	info, err := os.Stat(socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		u.t.Fatalf("the socket: %v %v", info, err)
	}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	defer client.CloseIdleConnections()
	send := func(method, path, body string, want int) {
		r, err := http.NewRequestWithContext(u.t.Context(), method, "http://node"+path, strings.NewReader(body))
		if err != nil {
			u.t.Error(err)
			return
		}
		res, err := client.Do(r)
		if err != nil {
			u.t.Error(err)
			return
		}
		defer res.Body.Close()
		if b, _ := io.ReadAll(res.Body); res.StatusCode != want {
			u.t.Errorf("%s %s: %s %s", method, path, res.Status, b)
		}
	}
	send("POST", "/pods", "kind: [", http.StatusBadRequest)
	send("POST", "/pods", staticPod("pushed", "1"), http.StatusCreated)
	u.version("pushed", "1")
	send("POST", "/pods", staticPod("pushed", "2"), http.StatusCreated)
	p := u.version("pushed", "2")
	u.kill()
	u.up()
	client.CloseIdleConnections()
	if now := u.version("pushed", "2"); container(now, "c").ContainerID != container(p, "c").ContainerID || container(now, "c").RestartCount != 0 {
		u.t.Error("the pod did not outlive the server")
	}
	u.gone("pushed-node", func() { send("DELETE", "/pods/default/pushed", "", http.StatusNoContent) })
	send("DELETE", "/pods/default/pushed", "", http.StatusNotFound)
}
