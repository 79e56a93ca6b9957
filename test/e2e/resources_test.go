package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// testResources: what a container asks for is what its cgroup says, under
// version 1 and 2.
func testResources(u *user) {
	for _, tt := range []struct {
		name, resources string
		class           corev1.PodQOSClass
		values          map[string]string // by file of version 1
	}{
		{"guaranteed", "limits: {cpu: 250m, memory: 64Mi}", corev1.PodQOSGuaranteed,
			map[string]string{"cpu/cpu.shares": "256", "cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "100000", "memory/memory.limit_in_bytes": "67108864"}},
		{"burstable", "requests: {cpu: 100m}, limits: {memory: 32Mi}", corev1.PodQOSBurstable,
			map[string]string{"cpu/cpu.shares": "102", "cpu/cpu.cfs_quota_us": "-1", "memory/memory.limit_in_bytes": "33554432"}},
		{"besteffort", "", corev1.PodQOSBestEffort, map[string]string{"cpu/cpu.shares": "2", "cpu/cpu.cfs_quota_us": "-1"}},
	} {
		u.apply(strings.Replace(onePod(forever, "resources: {"+tt.resources+"}", "terminationGracePeriodSeconds: 0"), "name: p,", "name: "+tt.name+",", 1))
		p := u.pod(tt.name, "ready", ready)
		if p.Status.QOSClass != tt.class {
			u.t.Errorf("%s: class %s", tt.name, p.Status.QOSClass)
		}
		for file, want := range tt.values {
			if got, where := cgroupValue(u, processOf(u, p).pid, file); got != want {
				u.t.Errorf("%s: %s is %s, want %s", tt.name, where, got, want)
			}
		}
	}
}

// version2 says how a value of cgroup version 1 reads in version 2.
var version2 = map[string]func(dir string) string{
	"cpu.shares": func(dir string) string {
		w, _ := strconv.Atoi(read(dir, "cpu.weight"))
		return strconv.Itoa(2 + ((w-1)*262142)/9999)
	},
	"cpu.cfs_quota_us": func(dir string) string {
		return strings.Replace(strings.Fields(read(dir, "cpu.max") + " x")[0], "max", "-1", 1)
	},
	"cpu.cfs_period_us":     func(dir string) string { return strings.Fields(read(dir, "cpu.max") + " x x")[1] },
	"memory.limit_in_bytes": func(dir string) string { return read(dir, "memory.max") },
}

func read(dir, file string) string {
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

// cgroupValue reads "controller/file" of the cgroup that a process is in.
func cgroupValue(u *user, pid int, path string) (value, where string) {
	u.t.Helper()
	controller, file, _ := strings.Cut(path, "/")
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		u.t.Fatal(err)
	}
	unified := ""
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		for name := range strings.SplitSeq(f[1], ",") {
			if name == controller {
				dir := filepath.Join("/sys/fs/cgroup", controller, f[2])
				return read(dir, file), filepath.Join(dir, file)
			}
		}
		if f[0] == "0" {
			unified = filepath.Join("/sys/fs/cgroup", f[2])
		}
	}
	return version2[file](unified), filepath.Join(unified, file)
}

// testVolumeUpdates: a changed ConfigMap, Secret or label reaches the files of
// a running container, all keys at once.
func testVolumeUpdates(u *user) {
	u.kubectl("create", "configmap", "cm", "--from-literal=a=1", "--from-literal=b=1")
	u.kubectl("create", "secret", "generic", "s", "--from-literal=a=1")
	u.apply(onePod(forever, "volumeMounts: [{name: cm, mountPath: /cm}, {name: s, mountPath: /s}, {name: d, mountPath: /d}]", `terminationGracePeriodSeconds: 0
  volumes:
  - {name: cm, configMap: {name: cm}}
  - {name: s, secret: {secretName: s, defaultMode: 0400}}
  - {name: d, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}`))
	u.pod("p", "ready", ready)
	u.kubectl("patch", "configmap", "cm", "--type=merge", "-p", `{"data":{"a":"2","b":"2"}}`)
	u.kubectl("patch", "secret", "s", "--type=merge", "-p", `{"stringData":{"a":"2"}}`)
	u.kubectl("label", "pod", "p", "new=label")
	// The shell in the container waits, and sees that no mixture is shown.
	u.sh("p", `for i in $(seq 300); do
	  x=$(cd /cm/..data && cat a b | tr -d '\n'); [ "$x" = 11 ] || [ "$x" = 22 ] || { echo "mixed: $x"; exit 1; }
	  [ "$x" = 22 ] && [ "$(cat /s/a)" = 2 ] && grep -q 'new="label"' /d/labels && exit 0; sleep 0.2; done; exit 1`)
	if out := u.sh("p", "stat -Lc %a /s/a"); out != "400\n" {
		u.t.Errorf("mode of the secret: %s", out)
	}
}

func testSubPath(u *user) {
	u.kubectl("create", "configmap", "cm", "--from-literal=a=from a")
	u.apply(onePod(forever, `env: [{name: ME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]
    volumeMounts:
    - {name: cm, mountPath: /etc/one, subPath: a}
    - {name: e, mountPath: /mine, subPathExpr: $(ME)}
    - {name: e, mountPath: /all}`, `terminationGracePeriodSeconds: 0
  volumes: [{name: cm, configMap: {name: cm}}, {name: e, emptyDir: {}}]`))
	u.pod("p", "ready", ready)
	if out := u.sh("p", "cat /etc/one; echo; echo x > /mine/f; cat /all/p/f"); out != "from a\nx\n" {
		u.t.Errorf("%q", out)
	}
	bad := onePod(forever, "volumeMounts: [{name: e, mountPath: /m, subPathExpr: $(NONE)}]", "volumes: [{name: e, emptyDir: {}}]")
	u.apply(strings.Replace(bad, "name: p,", "name: bad,", 1))
	u.pod("bad", "refused", func(p *corev1.Pod) bool { return waits(p, "c", "CreateContainerConfigError") })
}

// testProjectedToken: the token is for whom it says, and tied to the pod.
func testProjectedToken(u *user) {
	u.apply(onePod(forever, "volumeMounts: [{name: t, mountPath: /t}]", `terminationGracePeriodSeconds: 0
  volumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: token, audience: vault, expirationSeconds: 600}}]}}]`))
	p := u.pod("p", "ready", ready)
	parts := strings.Split(u.sh("p", "cat /t/token"), ".")
	if len(parts) != 3 {
		u.t.Fatal("not a token")
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		u.t.Fatal(err)
	}
	var claims struct {
		Aud        []string
		Exp, Iat   int64
		Sub        string
		Kubernetes struct{ Pod struct{ Name, UID string } } `json:"kubernetes.io"`
	}
	if err := json.Unmarshal(b, &claims); err != nil {
		u.t.Fatal(err)
	}
	if fmt.Sprint(claims.Aud) != "[vault]" || claims.Exp-claims.Iat != 600 || claims.Kubernetes.Pod.UID != string(p.UID) ||
		claims.Sub != "system:serviceaccount:"+u.namespace+":default" {
		u.t.Errorf("claims %+v", claims)
	}
	// The default one opens the API, as the service account.
	out := u.sh("p", `cd /var/run/secrets/kubernetes.io/serviceaccount; cat namespace; wc -c < ca.crt; [ -s token ] && echo token`)
	if !strings.HasPrefix(out, u.namespace) || !strings.HasSuffix(out, "token\n") {
		u.t.Errorf("%q", out)
	}
}

func testHostNetwork(u *user) {
	u.apply(server("env: [{name: PORT, value: '18080'}], readinessProbe: {tcpSocket: {port: 18080}, periodSeconds: 1}", "hostNetwork: true"))
	p := u.pod("p", "ready", ready)
	if p.Status.PodIP != p.Status.HostIP || p.Status.PodIP != nodeAddress {
		u.t.Errorf("addresses %s and %s", p.Status.PodIP, p.Status.HostIP)
	}
	u.fetch("http://" + nodeAddress + ":18080/")
}

func testHostPort(u *user) {
	u.apply(server("ports: [{containerPort: 8080, hostPort: 18081}], readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 1}", ""))
	u.pod("p", "ready", ready)
	u.fetch("http://" + nodeAddress + ":18081/")
	// The port is taken.
	u.apply(strings.Replace(onePod(forever, "ports: [{containerPort: 8080, hostPort: 18081}]", ""), "name: p,", "name: second,", 1))
	u.event("second", "FailedScheduling", "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.")
}

// server is a manifest of a pod named p that serves a web page.
func server(more, spec string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: p}}
spec:
  %s
  terminationGracePeriodSeconds: 0
  containers: [{name: c, image: "proa.local/hello:1", %s}]
`, spec, more)
}

// fetch asks a web server from inside the node's network.
func (u *user) fetch(url string) {
	u.t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: u.dial, DisableKeepAlives: true}, Timeout: patience}
	resp, err := client.Get(url)
	if err != nil {
		u.t.Error(err)
		return
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(string(b), "Hello from") {
		u.t.Errorf("%s: %v %s", url, err, b)
	}
}
