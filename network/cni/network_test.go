package cni_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/images"
	"proa/network/cni"
	"proa/runtime/runtimetest"
)

// A pod gets an address out of the range, is reached on it and on a host port,
// and nothing remains of either.
func TestPodNetwork(t *testing.T) {
	t.Parallel()
	env := runtimetest.Start(t)
	conn := env.Connect(t)
	ctx := context.Background()
	port := freePort(t)
	sc := env.SandboxConfig("net")
	sc.PortMappings = []*runtimeapi.PortMapping{{ContainerPort: 8080, HostPort: port}}
	sandbox, err := conn.Runtime.RunPodSandbox(ctx, sc, "")
	if err != nil {
		t.Fatal(err)
	}
	id, err := conn.Runtime.CreateContainer(ctx, sandbox, env.ContainerConfig("web", images.Hello2), sc)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Runtime.StartContainer(ctx, id); err != nil {
		t.Fatal(err)
	}
	st, err := conn.Runtime.PodSandboxStatus(ctx, sandbox, false)
	if err != nil {
		t.Fatal(err)
	}
	ip := st.Status.Network.Ip
	if !strings.HasPrefix(ip, strings.TrimSuffix(env.Network.PodCIDRs[0].Addr().String(), "0")) {
		t.Errorf("address %q is not in %s", ip, env.Network.PodCIDRs[0])
	}
	for _, addr := range []string{net.JoinHostPort(ip, "8080"), fmt.Sprintf("127.0.0.1:%d", port)} {
		if body := get(t, "http://"+addr+"/a/path"); body != "Hello from net\npath: /a/path\nversion: 2\n" {
			t.Errorf("%s: %q", addr, body)
		}
	}

	// What portmap needs for the loopback address must not let pods in there.
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go http.Serve(l, http.NotFoundHandler()) //nolint:errcheck // ends with the listener
	_, hostPort, _ := net.SplitHostPort(l.Addr().String())
	gateway := env.Network.PodCIDRs[0].Addr().Next().String()
	out, _, _ := conn.Runtime.ExecSync(ctx, id, []string{"sh", "-c",
		"ip route add 127.1.0.0/16 via " + gateway + " 2>&1; wget -T 1 -q -O- http://127.1.0.1:" + hostPort + " 2>&1; echo done"}, 0)
	if strings.Contains(string(out), "404") {
		t.Errorf("a pod reached the host's loopback: %s", out)
	}

	if rules := ruleset(t); !strings.Contains(rules, sandbox) {
		t.Errorf("the port mapping does not name the pod %s:\n%s", sandbox, rules)
	}
	for range 2 {
		if err := cni.Teardown(ctx, env.Network); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := net.InterfaceByName(env.Network.Bridge); err == nil {
		t.Errorf("bridge %s is left", env.Network.Bridge)
	}
	if rules := ruleset(t); strings.Contains(rules, sandbox) || strings.Contains(rules, env.Network.Network) {
		t.Errorf("rules are left:\n%s", rules)
	}
	if _, err := os.Stat(env.Network.StateDir + "/ipam"); err == nil {
		t.Error("address records are left")
	}
}

func freePort(t *testing.T) int32 {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return int32(l.Addr().(*net.TCPAddr).Port)
}

// get repeats until the server listens.
func get(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	var last error
	for range 200 {
		resp, err := client.Get(url)
		if err != nil {
			last = err
			time.Sleep(20 * time.Millisecond) // for a listener in another namespace there is no event
			continue
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	t.Fatal(last)
	return ""
}

func ruleset(t *testing.T) string {
	t.Helper()
	b, err := exec.Command("nft", "list", "ruleset").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return string(b)
}
