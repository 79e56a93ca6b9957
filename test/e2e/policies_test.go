package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// peers are pods a, b and c in each of three namespaces, on two nodes.
type peers struct {
	t     *testing.T
	users map[string]*user  // by namespace
	ips   map[string]string // by namespace/name
	names []string          // of all pods, sorted
	ports []string          // on which each answers
}

var peerPods = map[string]string{"a": "node-1", "b": "node-2", "c": "node-1"}

func newPeers(t *testing.T, c *cluster) *peers {
	t.Helper()
	p := &peers{t: t, users: map[string]*user{}, ips: map[string]string{}, ports: []string{"8080", "8081"}}
	all := c.userIn(t, "default")
	for _, namespace := range []string{"x", "y", "z"} {
		all.kubectl("create", "namespace", namespace)
		p.users[namespace] = c.userIn(t, namespace)
		for name, node := range peerPods {
			p.users[namespace].feed(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: %s, labels: {pod: %s}}
spec:
  terminationGracePeriodSeconds: 1
  nodeSelector: {kubernetes.io/hostname: %s}
  containers:
  - {name: c, image: "proa.local/hello:1", ports: [{name: web, containerPort: 8080}], readinessProbe: {httpGet: {port: 8080}}}
  - {name: d, image: "proa.local/hello:1", ports: [{name: other, containerPort: 8081}], env: [{name: PORT, value: "8081"}]}
`, name, name, node), "apply", "-f", "-")
			p.names = append(p.names, namespace+"/"+name)
		}
	}
	slices.Sort(p.names)
	for _, name := range p.names {
		namespace, pod, _ := strings.Cut(name, "/")
		p.ips[name] = p.users[namespace].pod(pod, "ready", ready).Status.PodIP
	}
	return p
}

// matrix is who reaches whom on which port.
func (p *peers) matrix() map[string]bool {
	p.t.Helper()
	got := map[string]bool{}
	var all sync.WaitGroup
	var mu sync.Mutex
	var script strings.Builder
	for _, to := range p.names {
		for _, port := range p.ports {
			fmt.Fprintf(&script, "(timeout 2 wget -qO /dev/null http://%s:%s/ && echo reached %s:%s) & ", p.ips[to], port, to, port)
		}
	}
	script.WriteString("wait")
	for _, from := range p.names {
		all.Go(func() {
			namespace, pod, _ := strings.Cut(from, "/")
			out, _ := p.users[namespace].try("", "exec", pod, "-c", "c", "--", "sh", "-c", script.String())
			mu.Lock()
			defer mu.Unlock()
			for _, to := range p.names {
				for _, port := range p.ports {
					got[from+" "+to+":"+port] = strings.Contains(out, "reached "+to+":"+port+"\n")
				}
			}
		})
	}
	all.Wait()
	return got
}

// expect waits until the matrix is as it shall be. A pod reaches itself whatever
// the policies are.
func (p *peers) expect(name string, allowed func(from, to, port string) bool) {
	p.t.Helper()
	eventually(p.t, func() string {
		got := p.matrix()
		var wrong []string
		for _, key := range slices.Sorted(maps.Keys(got)) {
			from, rest, _ := strings.Cut(key, " ")
			to, port, _ := strings.Cut(rest, ":")
			if want := from == to || allowed(from, to, port); got[key] != want {
				wrong = append(wrong, fmt.Sprintf("%s: reached %v, want %v", key, got[key], want))
			}
		}
		if len(wrong) == 0 {
			return ""
		}
		return name + ":\n" + strings.Join(wrong, "\n")
	})
}

// policy replaces the policies of all namespaces by some of one namespace.
func (p *peers) policy(namespace string, specs ...string) {
	p.t.Helper()
	for _, u := range p.users {
		u.kubectl("delete", "networkpolicies", "--all")
	}
	for i, spec := range specs {
		p.users[namespace].feed(fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p%d}\nspec: %s\n", i, spec), "apply", "-f", "-")
	}
}

// in tells whether a pod is in a namespace.
func in(name, namespace string) bool { return strings.HasPrefix(name, namespace+"/") }

// TestPolicies has real pods on two nodes reach each other, or not, under network
// policies of every shape.
func TestPolicies(t *testing.T) {
	t.Parallel()
	c := divided(t, 2)
	c.up()
	p := newPeers(t, c)
	everybody := func(_, _, _ string) bool { return true }
	p.expect("without policies", everybody)
	for _, test := range []struct {
		name    string
		specs   []string
		allowed func(from, to, port string) bool
	}{
		{"nothing may come in", []string{`{podSelector: {}, policyTypes: [Ingress]}`},
			func(_, to, _ string) bool { return !in(to, "x") }},
		{"nothing may go out", []string{`{podSelector: {}, policyTypes: [Egress]}`},
			func(from, _, _ string) bool { return !in(from, "x") }},
		{"a namespace may", []string{`{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: "y"}}}]}]}`},
			func(from, to, _ string) bool { return to != "x/a" || in(from, "y") }},
		{"pods of the namespace may", []string{`{podSelector: {matchExpressions: [{key: pod, operator: In, values: [a, b]}]}, ingress: [{from: [{podSelector: {matchLabels: {pod: c}}}]}]}`},
			func(from, to, _ string) bool { return to != "x/a" && to != "x/b" || from == "x/c" }},
		{"pods of some namespaces may, on one port", []string{`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: NotIn, values: [x, "y"]}]}, podSelector: {matchLabels: {pod: b}}}], ports: [{port: 8081}]}]}`},
			func(from, to, port string) bool { return !in(to, "x") || from == "z/b" && port == "8081" }},
		{"named ports", []string{`{podSelector: {}, ingress: [{ports: [{port: web}]}]}`},
			func(_, to, port string) bool { return !in(to, "x") || port == "8080" }},
		{"a range of ports, outwards to a namespace", []string{`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: "y"}}}], ports: [{port: 8081, endPort: 9000}]}]}`},
			func(from, to, port string) bool { return !in(from, "x") || in(to, "y") && port == "8081" }},
		{"two policies add up", []string{`{podSelector: {}, ingress: [{ports: [{port: 8080}]}]}`, `{podSelector: {matchLabels: {pod: b}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {pod: a}}}]}]}`},
			func(from, to, port string) bool {
				return !in(to, "x") || port == "8080" || to == "x/b" && strings.HasSuffix(from, "/a")
			}},
		{"both ways", []string{`{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}], egress: [{to: [{namespaceSelector: {}}]}]}`},
			func(from, to, _ string) bool { return !in(to, "x") || in(from, "x") }},
		{"addresses, but for one", []string{fmt.Sprintf(`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.42.0.0/16, except: [%s/32]}}]}]}`, p.ips["y/b"])},
			func(from, to, _ string) bool { return !in(to, "x") || from != "y/b" }},
		{"everything may", []string{`{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`, `{podSelector: {}, policyTypes: [Ingress, Egress]}`},
			everybody},
	} {
		p.policy("x", test.specs...)
		p.expect(test.name, test.allowed)
	}

	p.changes()
	p.namesAndNode()
	c.kill() // the agent of the other node lives, and the rules of both
	c.up()
	p.expect("after the server was killed", func(from, to, _ string) bool { return !in(from, "x") && !in(to, "x") || from == to })
	p.firstPacket()
	for namespace := range p.users {
		for pod := range peerPods {
			if restarts := p.users[namespace].pod(pod, "ready", ready).Status.ContainerStatuses[0].RestartCount; restarts != 0 {
				t.Errorf("%s/%s was restarted %d times", namespace, pod, restarts)
			}
		}
	}
	c.down()
	leavesNothing(t, c)
}

// changes of pods and namespaces count at once.
func (p *peers) changes() {
	p.t.Helper()
	p.policy("x", `{podSelector: {matchLabels: {pod: a}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: red}}, podSelector: {matchLabels: {role: client}}}]}]}`)
	p.expect("nobody has the labels", func(_, to, _ string) bool { return to != "x/a" })
	y := p.users["y"]
	y.kubectl("label", "namespace", "y", "team=red")
	y.kubectl("label", "pod", "a", "role=client")
	y.kubectl("label", "pod", "b", "role=client")
	p.expect("two have them", func(from, to, _ string) bool { return to != "x/a" || from == "y/a" || from == "y/b" })
	y.kubectl("label", "pod", "a", "role-")
	p.expect("one lost it", func(from, to, _ string) bool { return to != "x/a" || from == "y/b" })
	p.users["x"].kubectl("label", "pod", "a", "pod=other", "--overwrite")
	p.users["x"].kubectl("label", "pod", "b", "pod=a", "--overwrite")
	p.expect("another pod is selected", func(from, to, _ string) bool { return to != "x/b" || from == "y/b" })
	y.kubectl("label", "namespace", "y", "team=blue", "--overwrite")
	p.expect("the namespace lost it", func(_, to, _ string) bool { return to != "x/b" })
}

// namesAndNode leaves pods of x nothing but the names of services.
func (p *peers) namesAndNode() {
	p.t.Helper()
	x := p.users["x"]
	p.policy("x", `{podSelector: {}, policyTypes: [Ingress, Egress]}`)
	p.expect("nobody may", func(from, to, _ string) bool { return !in(from, "x") && !in(to, "x") })
	const (
		lookUp = "timeout 3 nslookup kubernetes.default.svc.cluster.local"
		api    = "timeout 2 wget -qO- http://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/ 2>&1"
	)
	if out, err := x.try("", "exec", "a", "-c", "c", "--", "sh", "-c", lookUp); err == nil {
		p.t.Errorf("an isolated pod asks for names: %s", out)
	}
	if out, _ := x.try("", "exec", "a", "-c", "c", "--", "sh", "-c", api); strings.Contains(out, "400") {
		p.t.Errorf("an isolated pod reaches the API server on its node: %s", out)
	}
	x.feed(`
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: names}
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
  - to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}, podSelector: {matchLabels: {k8s-app: kube-dns}}}]
    ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
`, "apply", "-f", "-")
	x.works("exec", "a", "-c", "c", "--", "sh", "-c", lookUp)
	x.works("exec", "b", "-c", "c", "--", "sh", "-c", lookUp)
	if out, _ := x.try("", "exec", "a", "-c", "c", "--", "sh", "-c", api); strings.Contains(out, "400") {
		p.t.Errorf("a pod that may ask for names reaches the API server: %s", out)
	}
}

// firstPacket starts pods whose first act is to send one.
func (p *peers) firstPacket() {
	p.t.Helper()
	const pods = 6
	for i := range pods {
		p.users["x"].feed(fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: early-%d}
spec:
  restartPolicy: Never
  nodeSelector: {kubernetes.io/hostname: node-%d}
  containers: [{name: c, image: "proa.local/hello:1", command: [sh, -c, "timeout 1 nc %s 8080 </dev/null && exit 1; exit 0"]}]
`, i, 1+i%2, p.ips["y/a"]), "apply", "-f", "-")
	}
	for i := range pods {
		name := fmt.Sprint("early-", i)
		got := p.users["x"].pod(name, "ended", func(p *corev1.Pod) bool {
			return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
		})
		if got.Status.Phase != corev1.PodSucceeded {
			p.t.Errorf("%s reached another pod before its policy was enforced", name)
		}
	}
}
