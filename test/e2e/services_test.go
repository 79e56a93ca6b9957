package e2e

import (
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestServices reaches pods through services, from pods, from the node and from
// outside.
func TestServices(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	u := c.userIn(t, "default")
	u.kubectl("apply", "-f", example(t, "hello-deployment.yaml"))
	u.kubectl("expose", "deployment", "hello", "--port=80", "--target-port=8080")
	u.kubectl("expose", "deployment", "hello", "--name=node", "--type=NodePort", "--port=80", "--target-port=8080")
	u.feed(`
apiVersion: v1
kind: Service
metadata: {name: empty}
spec: {selector: {no: body}, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {selector: {app: hello}, sessionAffinity: ClientIP, ports: [{port: 80, targetPort: 8080}]}
`, "apply", "-f", "-")
	u.kubectl("expose", "deployment", "hello", "--name=balanced", "--type=LoadBalancer", "--port=8088", "--target-port=8080")
	u.kubectl("run", "client", "--image=proa.local/hello:1", "--command", "--", "sleep", "1000000")
	u.kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
	u.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
	ip := func(name string) string {
		return u.kubectl("get", "service", name, "-o", "jsonpath={.spec.clusterIP}")
	}
	get := func(addr string) string {
		out, _ := u.try("", "exec", "client", "--", "wget", "-qO-", "http://"+addr+"/")
		return out
	}
	for _, addr := range []string{ip("hello"), ip("node"), nodeAddress + ":" + u.kubectl("get", "service", "node", "-o", "jsonpath={.spec.ports[0].nodePort}")} {
		if out := get(addr); !strings.Contains(out, "Hello from hello-") {
			t.Errorf("http://%s/ answers %q", addr, out)
		}
	}
	u.kubectl("wait", "--for=jsonpath={.status.loadBalancer.ingress[0].ip}="+nodeAddress, "service/balanced", "--timeout=60s")
	if out := get(nodeAddress + ":8088"); !strings.Contains(out, "Hello from hello-") {
		t.Errorf("at the address of its load balancer a service answers a pod %q", out)
	}
	if out, err := c.command("", "busybox", "wget", "-qO-", "http://"+nodeAddress+":8088/"); err != nil || !strings.Contains(out, "Hello from hello-") {
		t.Errorf("at the address of its load balancer a service answers the node %q", out)
	}
	if out := get(ip("empty")); !strings.Contains(out, "refused") {
		t.Errorf("a service without pods answers %q", out)
	}
	first := get(ip("sticky"))
	for range 10 {
		if out := get(ip("sticky")); out != first {
			t.Errorf("a client moved from %q to %q", first, out)
		}
	}
	u.feed(`
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {type: ExternalName, externalName: hello.default.svc.cluster.local}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: hello}, ports: [{name: http, port: 8080}]}
`, "apply", "-f", "-")
	u.kubectl("wait", "--for=create", "endpointslice", "-l", "kubernetes.io/service-name=headless", "--timeout=60s")
	pod := u.kubectl("get", "pod", "-l", "app=hello", "-o", "jsonpath={.items[0].status.podIP}")
	for name, want := range map[string]string{
		"hello": ip("hello"), "hello.default.svc.cluster.local.": ip("hello"), "outside": ip("hello"),
		"kubernetes": "10.43.0.1", "headless": pod, strings.ReplaceAll(pod, ".", "-") + ".headless.default.svc.cluster.local": pod, "nothing": "NXDOMAIN",
		"-type=srv _http._tcp.headless.default.svc.cluster.local": "8080", ip("hello"): "hello.default.svc.cluster.local",
	} {
		if out, _ := u.try("", append([]string{"exec", "client", "--", "nslookup"}, strings.Fields(name)...)...); !strings.Contains(out, want) {
			t.Errorf("nslookup %s does not print %q:\n%s", name, want, out)
		}
	}
	// A pod reaches the API server with nothing but what it is given. (busybox has
	// no TLS that a modern server accepts.)
	const api = `wget -qO- http://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/`
	if out, _ := u.try("", "exec", "client", "--", "sh", "-c", api); !strings.Contains(out, "400 Bad Request") {
		t.Errorf("the API server, asked without TLS from a pod: %s", out)
	}
	// A proxy that runs alone takes over: the table of the cluster's own is gone
	// before it starts.
	proa := filepath.Join(c.bin, "proa")
	if out, err := c.command("", proa, "proxy", "--cleanup"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	alone := c.start("proxy", "proxy", "--kubeconfig", filepath.Join(c.dir, "d", "proxy.kubeconfig"), "--hostname-override", "node")
	eventually(t, func() string {
		if out, err := c.command("", "busybox", "wget", "-qO-", "http://127.0.0.1:10256/healthz"); err != nil {
			return "the proxy is not healthy: " + out
		}
		return ""
	})
	if out := get(ip("hello")); !strings.Contains(out, "Hello from hello-") {
		t.Errorf("by a proxy that runs alone the service answers %q", out)
	}
	alone.end(syscall.SIGTERM)
	if out := get(ip("hello")); !strings.Contains(out, "Hello from hello-") {
		t.Errorf("without a proxy the service answers %q", out)
	}
	c.down()
	leavesNothing(t, c)
}
