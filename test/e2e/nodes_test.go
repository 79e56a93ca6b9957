package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"proa/pki"
	"proa/runtime/images"
)

// silence is how long a node of a divided machine may be silent. It is short, so
// that tests of lost nodes are, but leaves a busy machine time.
const silence = "12s"

// divided makes a machine whose cluster will have a number of nodes, and no other
// flags of nodes than it needs.
func divided(t *testing.T, nodes int) *cluster {
	t.Helper()
	c := newMachine(t)
	c.flags = []string{
		"--config", filepath.Join(c.dir, "config.yaml"), "--data-dir", filepath.Join(c.dir, "d"), "--bridge", "pe0", "--pod-cidr", "10.42.0.0/16",
		"--cgroup-root", "/" + c.netns, "--nodes", fmt.Sprint(nodes), "--node-monitor-grace-period", silence,
	}
	return c
}

// node runs "proa node", which must succeed.
func (c *cluster) node(args ...string) string {
	c.t.Helper()
	line := append(append([]string{"node"}, args...), "--data-dir", filepath.Join(c.dir, "d"))
	out, err := c.command("", filepath.Join(c.bin, "proa"), line...)
	if err != nil {
		c.t.Fatalf("proa %s: %v\n%s", strings.Join(line, " "), err, out)
	}
	return out
}

// TestNodes divides the machine into nodes, uses all of them, and does to them
// what befalls machines.
func TestNodes(t *testing.T) {
	t.Parallel()
	c := divided(t, 3)
	was := snapshot(t, c)
	c.up()
	f := newFleetUser(t, c)
	names := []string{"node-1", "node-2", "node-3"}
	for _, n := range names {
		f.nodeIs(n, corev1.ConditionTrue)
		f.apply(pinned("on-"+n, n, "proa.local/hello:1"))
	}
	f.apply(spread)
	f.kubectl("expose", "deployment", "spread", "--port=80", "--target-port=8080")
	for _, n := range names {
		f.pod("on-"+n, "ready", ready)
	}
	f.kubectl("rollout", "status", "deployment/spread", "--timeout=80s")

	f.reach(names)
	f.serve(names)
	f.importImage(names)
	f.addAndRemove()
	f.lose("node-3", func() { c.node("stop", "node-3") }, func() {
		renewed := f.age("node-3")
		c.node("start", "node-3")
		renewed()
	})
	f.lose("node-2", func() { c.node("partition", "node-2") }, func() { c.node("heal", "node-2") })
	f.reach(names)
	f.killServer(names)

	c.down()
	leavesNothing(t, c)
	was.compare(t, c)
	c.down()
	c.up()
	for _, n := range names {
		f.nodeIs(n, corev1.ConditionTrue)
	}
	c.kill() // the agents live
	c.down("--purge")
	leavesNothing(t, c)
	was.compare(t, c)
	if _, err := os.Stat(filepath.Join(c.dir, "d")); !os.IsNotExist(err) {
		t.Errorf("the data is left: %v", err)
	}
}

// spread is a deployment whose pods leave a lost node at once.
const spread = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: spread}
spec:
  replicas: 6
  selector: {matchLabels: {app: spread}}
  template:
    metadata: {labels: {app: spread}}
    spec:
      terminationGracePeriodSeconds: 1
      tolerations:
      - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 1}
      containers: [{name: c, image: "proa.local/hello:1"}]
`

// pinned is a pod that runs on one node only, and stays on it for upstream's
// five minutes when it is lost.
func pinned(name, node, image string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {pinned: %s}}
spec:
  terminationGracePeriodSeconds: 1
  nodeSelector: {kubernetes.io/hostname: %s}
  containers: [{name: c, image: "%s", imagePullPolicy: Never}]
`, name, node, node, image)
}

// fleetUser is a user who knows nodes.
type fleetUser struct{ *user }

func newFleetUser(t *testing.T, c *cluster) fleetUser { return fleetUser{c.userIn(t, "default")} }

func condition(n *corev1.Node) corev1.ConditionStatus {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status
		}
	}
	return "(none)"
}

// nodeIs waits until a node's condition Ready has a status, and its taints are
// those that belong to it.
func (f fleetUser) nodeIs(name string, want corev1.ConditionStatus) {
	f.t.Helper()
	lw := cache.NewListWatchFromClient(f.api.CoreV1().RESTClient(), "nodes", "", fields.OneTermEqualSelector("metadata.name", name))
	await(f.user, "node "+name, "Ready: "+string(want), lw, &corev1.Node{}, func(n *corev1.Node) bool {
		var taints []string
		for _, t := range n.Spec.Taints {
			taints = append(taints, t.Key+":"+string(t.Effect))
		}
		slices.Sort(taints)
		belong := ""
		if want == corev1.ConditionUnknown {
			belong = "node.kubernetes.io/unreachable:NoExecute node.kubernetes.io/unreachable:NoSchedule"
		}
		return condition(n) == want && strings.Join(taints, " ") == belong
	})
}

func (f fleetUser) pods(selector string) []corev1.Pod {
	f.t.Helper()
	l, err := f.api.CoreV1().Pods(f.namespace).List(f.t.Context(), metav1.ListOptions{LabelSelector: selector})
	if err != nil {
		f.t.Fatal(err)
	}
	return l.Items
}

// reach has every node reach the pods of all nodes, by address and by service.
func (f fleetUser) reach(nodes []string) {
	f.t.Helper()
	vip := f.kubectl("get", "service", "spread", "-o", "jsonpath={.spec.clusterIP}")
	targets := []string{vip, "spread", "spread.default.svc.cluster.local"}
	for _, p := range f.pods("pinned") {
		targets = append(targets, p.Status.PodIP+":8080")
	}
	for _, p := range f.pods("app=spread") {
		if p.DeletionTimestamp == nil {
			targets = append(targets, p.Status.PodIP+":8080")
		}
	}
	script := "for a in " + strings.Join(targets, " ") + "; do wget -qO- http://$a/ >/dev/null && echo reached $a; done; true"
	for _, n := range nodes {
		out := f.sh("on-"+n, script)
		for _, a := range targets {
			if !strings.Contains(out, "reached "+a+"\n") {
				f.t.Errorf("%s does not reach %s:\n%s", n, a, out)
			}
		}
		// From the node itself, whose resolver is the machine's.
		ns := filepath.Join(f.dir, "d", "run", "nodes", n, "netns")
		if out, err := f.command("", "nsenter", "--net="+ns, "busybox", "wget", "-qO-", "http://"+vip+"/"); err != nil || !strings.Contains(out, "Hello from spread") {
			f.t.Errorf("%s itself does not reach the service: %v %s", n, err, out)
		}
	}
}

// serve uses the API of every node's agent.
func (f fleetUser) serve(nodes []string) {
	f.t.Helper()
	for _, n := range nodes {
		pod := "on-" + n
		if out := f.kubectl("exec", pod, "--", "hostname"); strings.TrimSpace(out) != pod {
			f.t.Errorf("exec on %s: %q", n, out)
		}
		f.want([]string{"GET / from"}, "logs", pod)
		url, end := f.forward("pod/" + pod)
		f.fetch(url)
		end()
		f.want([]string{"kubernetes.io/hostname=" + n}, "describe", "node", n)
	}
}

// importedImage is one that only "proa image import" brings.
const importedImage = "proa.local/imported:1"

// importImage brings an image to all nodes.
func (f fleetUser) importImage(nodes []string) {
	f.t.Helper()
	const name = importedImage
	file := filepath.Join(f.dir, "image.tar")
	w, err := os.Create(file)
	if err != nil {
		f.t.Fatal(err)
	}
	program := filepath.Join(f.bin, "hello")
	im := images.Image{Name: name, Files: []images.File{{Path: "/hello", Mode: 0o755, Source: program}}, Config: ocispec.ImageConfig{Entrypoint: []string{"/hello"}}}
	if _, err := im.WriteArchive(w); err != nil {
		f.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		f.t.Fatal(err)
	}
	out, err := f.command("", filepath.Join(f.bin, "proa"), "image", "import", file, "--data-dir", filepath.Join(f.dir, "d"))
	if err != nil || strings.Count(out, "imported "+name) != len(nodes) {
		f.t.Fatalf("import: %v\n%s", err, out)
	}
	for _, n := range nodes {
		f.apply(pinned("imported-"+n, n, name))
	}
	for _, n := range nodes {
		f.pod("imported-"+n, "ready", ready)
		f.kubectl("delete", "pod", "imported-"+n, "--wait=false")
	}
}

// addAndRemove adds a node, uses it, and removes it.
func (f fleetUser) addAndRemove() {
	f.t.Helper()
	const name = "extra"
	f.node("add", name)
	f.nodeIs(name, corev1.ConditionTrue)
	f.apply(pinned("on-extra", name, "proa.local/hello:1"))
	f.apply(pinned("imported-extra", name, importedImage)) // before the node was there
	f.pod("imported-extra", "ready", ready)
	f.kubectl("delete", "pod", "imported-extra", "--wait=false", "--grace-period=0", "--force")
	p := f.pod("on-extra", "ready", ready)
	first := processOf(f.user, p)
	if out := f.sh("on-node-1", "wget -qO- http://"+p.Status.PodIP+":8080/"); !strings.Contains(out, "Hello from on-extra") {
		f.t.Errorf("the new node's pod answers %q", out)
	}
	f.kubectl("delete", "pod", "on-extra", "--wait=false", "--grace-period=0", "--force")
	f.node("remove", name)
	first.ends(f.t)
	if _, err := f.api.CoreV1().Nodes().Get(f.t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		f.t.Errorf("the Node object is there: %v", err)
	}
	if out := f.node("list"); strings.Contains(out, name) {
		f.t.Errorf("the node is listed:\n%s", out)
	}
	for _, dir := range []string{filepath.Join("nodes", name), filepath.Join("run", "nodes", name)} {
		if _, err := os.Stat(filepath.Join(f.dir, "d", dir)); !os.IsNotExist(err) {
			f.t.Errorf("%s is left: %v", dir, err)
		}
	}
	if groups, err := filepath.Glob("/sys/fs/cgroup/*/" + f.netns + "/" + name); err != nil || len(groups) > 0 {
		f.t.Errorf("cgroups are left: %v %v", groups, err)
	}
	eventually(f.t, func() string {
		if _, err := f.api.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(f.t.Context(), name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return fmt.Sprintf("the lease of the removed node: %v", err)
		}
		return ""
	})
	if out, err := f.api.CoreV1().Nodes().List(f.t.Context(), metav1.ListOptions{}); err != nil || len(out.Items) != 3 {
		f.t.Errorf("%v %v", out, err)
	}
}

// lose makes a node fall silent and brings it back.
func (f fleetUser) lose(name string, away, back func()) {
	f.t.Helper()
	on := func(pods []corev1.Pod) (there []string) {
		for i := range pods {
			if p := &pods[i]; p.Spec.NodeName == name {
				there = append(there, p.Name)
			}
		}
		return there
	}
	before := on(f.pods("app=spread"))
	if len(before) == 0 {
		f.t.Fatalf("no pod of the deployment is on %s", name)
	}
	away()
	f.nodeIs(name, corev1.ConditionUnknown)
	f.want([]string{"NotReady"}, "get", "node", name)
	// Evicted and replaced elsewhere; nobody can say that the old ones have ended.
	eventually(f.t, func() string {
		pods := f.pods("app=spread")
		live := 0
		for i := range pods {
			p := &pods[i]
			switch {
			case p.Spec.NodeName == name && p.DeletionTimestamp == nil:
				return "pod " + p.Name + " is not evicted"
			case p.DeletionTimestamp == nil && ready(p):
				live++
			}
		}
		if live != 6 || len(on(pods)) != len(before) {
			return fmt.Sprintf("%d pods are ready, %v on the lost node, where %v were", live, on(pods), before)
		}
		return ""
	})
	// What tolerates more stays, and is out of its services.
	if p := f.pod("on-"+name, "not ready", func(p *corev1.Pod) bool { return !ready(p) }); p.DeletionTimestamp != nil {
		f.t.Errorf("pod %s is evicted before its toleration of five minutes is over", p.Name)
	}
	for range 8 {
		if out := f.sh("on-node-1", "wget -qO- http://spread/"); !strings.Contains(out, "Hello from spread") {
			f.t.Errorf("without %s the service answers %q", name, out)
		}
	}
	back()
	f.nodeIs(name, corev1.ConditionTrue)
	f.pod("on-"+name, "ready", ready)
	for _, p := range before {
		f.kubectl("wait", "--for=delete", "pod/"+p, "--timeout=60s")
	}
	// So that the next loss finds some here.
	f.kubectl("delete", "pod", "-l", "app=spread", "--wait=false")
	f.kubectl("rollout", "status", "deployment/spread", "--timeout=80s")
	if len(on(f.pods("app=spread"))) == 0 {
		f.t.Errorf("no pod comes back to %s", name)
	}
}

// age gives a node that is down a client certificate of which most of the life is
// over. renewed waits until it has asked for another and uses it.
func (f fleetUser) age(name string) (renewed func()) {
	f.t.Helper()
	authority, err := pki.Open(filepath.Join(f.dir, "d", "pki"), clock.RealClock{})
	if err != nil {
		f.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.t.Fatal(err)
	}
	ca, signer := authority.Signer()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "system:node:" + name, Organization: []string{"system:nodes"}},
		NotBefore: time.Now().Add(-50 * time.Minute), NotAfter: time.Now().Add(5 * time.Minute),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, ca, &key.PublicKey, signer)
	if err != nil {
		f.t.Fatal(err)
	}
	bytes, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		f.t.Fatal(err)
	}
	old := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: bytes})...)
	file := filepath.Join(f.dir, "d", "nodes", name, "kubelet", "pki", "kubelet-client-current.pem")
	if err := os.WriteFile(file, old, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return func() {
		f.t.Helper()
		eventually(f.t, func() string {
			if now, err := os.ReadFile(file); err != nil || string(now) == string(old) {
				return fmt.Sprintf("the client certificate of %s is not renewed: %v", name, err)
			}
			return ""
		})
		lines := f.kubectl("get", "csr", "--field-selector", "spec.signerName=kubernetes.io/kube-apiserver-client-kubelet")
		if !strings.Contains(lines, "system:node:"+name) || !strings.Contains(lines, "Approved,Issued") {
			f.t.Errorf("the requests for client certificates are\n%s", lines)
		}
	}
}

// killServer kills the server without warning. The next one finds its nodes, and
// no container notices.
func (f fleetUser) killServer(nodes []string) {
	f.t.Helper()
	type runs struct {
		container string
		restarts  int32
	}
	is := func() map[string]runs {
		out := map[string]runs{}
		for _, n := range nodes {
			p := f.pod("on-"+n, "ready", ready)
			s := container(p, "c")
			out[n] = runs{container: s.ContainerID, restarts: s.RestartCount}
		}
		return out
	}
	was := is()
	var processes []proc
	for _, n := range nodes {
		processes = append(processes, processOf(f.user, f.pod("on-"+n, "ready", ready)))
	}
	agents := f.agents()
	f.kill()
	f.up()
	for _, n := range nodes {
		f.nodeIs(n, corev1.ConditionTrue)
	}
	if now := f.agents(); !slices.Equal(now[1:], agents[1:]) || now[0] == agents[0] {
		f.t.Errorf("the nodes' processes were %v and are %v", agents, now)
	}
	for n, r := range is() {
		if r != was[n] {
			f.t.Errorf("the pod on %s was %+v and is %+v", n, was[n], r)
		}
	}
	for i, p := range processes {
		if p.ended() {
			f.t.Errorf("the container's process on %s was ended", nodes[i])
		}
	}
	f.reach(nodes)
}

// agents are the processes of the nodes, in their order.
func (f fleetUser) agents() []string {
	f.t.Helper()
	var out []string
	for _, line := range strings.Split(strings.TrimSpace(f.node("list")), "\n")[1:] {
		words := strings.Fields(line)
		if len(words) < 4 || words[1] != "running" {
			f.t.Fatalf("a node does not run: %s", line)
		}
		out = append(out, words[3])
	}
	return out
}
