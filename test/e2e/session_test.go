package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func example(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "examples", name))
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// TestSession is what a new user types, in one cluster, from top to bottom.
func TestSession(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	u := c.userIn(t, "default")
	pod, deployment := example(t, "hello-pod.yaml"), example(t, "hello-deployment.yaml")

	u.want([]string{"node", "Ready"}, "get", "nodes")
	u.want([]string{"pod/hello created"}, "apply", "-f", pod)
	u.want([]string{"deployment.apps/hello created"}, "apply", "-f", deployment)
	u.kubectl("wait", "--for=condition=Ready", "pod/hello", "--timeout=60s")
	u.want([]string{"successfully rolled out"}, "rollout", "status", "deployment/hello", "--timeout=60s")
	u.want([]string{"hello", "1/1", "Running"}, "get", "pods", "-o", "wide")
	u.want([]string{"Scheduled", "Successfully assigned default/hello to node", "Started"}, "describe", "pod", "hello")
	u.want([]string{"listens on"}, "logs", "hello")
	u.want([]string{"from inside"}, "exec", "hello", "--", "sh", "-c", "echo from inside")
	if out := u.feed("through a pipe", "exec", "-i", "hello", "--", "cat"); out != "through a pipe" {
		t.Errorf("cat in the pod printed %q", out)
	}
	if out, err := u.try("", "exec", "hello", "--", "sh", "-c", "exit 7"); err == nil || !strings.Contains(out, "exit code 7") {
		t.Errorf("the exit code does not come back: %v, %s", err, out)
	}
	u.want([]string{"version: 1"}, "get", "--raw", "/api/v1/namespaces/default/pods/hello:8080/proxy/")

	u.kubectl("scale", "deployment/hello", "--replicas=4")
	u.want([]string{"4/4"}, "get", "deployment", "hello", "-o", "wide", "--watch=false", waitReplicas(u, 4))
	u.kubectl("set", "image", "deployment/hello", "hello=proa.local/hello:2")
	u.kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
	u.want([]string{"REVISION", "1", "2"}, "rollout", "history", "deployment/hello")
	u.want([]string{"version: 2"}, "exec", "deployment/hello", "--", "wget", "-qO-", "http://127.0.0.1:8080/")
	u.kubectl("rollout", "undo", "deployment/hello")
	u.kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
	u.want([]string{"version: 1"}, "exec", "deployment/hello", "--", "wget", "-qO-", "http://127.0.0.1:8080/")

	u.want([]string{"deployment.apps/hello", "replicaset.apps/hello-", "pod/hello", "configmap/kube-root-ca.crt", "node/node", "SuccessfulCreate"},
		"get", "deploy,rs,po,svc,cm,secret,events,nodes")
	u.want([]string{"deployments", "deploy", "apps/v1", "configmaps"}, "api-resources")
	u.want([]string{"apps/v1", "batch/v1", "rbac.authorization.k8s.io/v1"}, "api-versions")
	u.want([]string{"KIND:       Pod", "containers"}, "explain", "pod.spec")

	t.Run("change", func(t *testing.T) { testChange(t, u, deployment) })
	t.Run("refuse", func(t *testing.T) { testRefuse(t, u) })
	t.Run("copy", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte("there and back"), 0o600); err != nil {
			t.Fatal(err)
		}
		u.kubectl("cp", file, "hello:/tmp/file")
		u.kubectl("cp", "hello:/tmp/file", file+".back")
		if b, err := os.ReadFile(file + ".back"); err != nil || string(b) != "there and back" {
			t.Errorf("came back as %q, %v", b, err)
		}
	})
	t.Run("static pod", func(t *testing.T) { testStatic(t, u) })
	t.Run("volumes", func(t *testing.T) { testVolumes(t, u) })

	u.kubectl("delete", "-f", deployment, "-f", pod, "--wait=true")
	u.kubectl("wait", "--for=delete", "pod", "-l", "app=hello", "--timeout=60s")
	c.down()
	leavesNothing(t, c)
}

// waitReplicas waits for the deployment's ready replicas and returns a flag
// that changes nothing, so that it can stand in an argument list.
func waitReplicas(u *user, n int) string {
	u.t.Helper()
	u.kubectl("wait", "deployment/hello", fmt.Sprintf("--for=jsonpath={.status.readyReplicas}=%d", n), "--timeout=60s")
	return "--show-labels=false"
}

func testChange(t *testing.T, u *user, deployment string) {
	u.kubectl("label", "deployment/hello", "tier=web")
	u.kubectl("annotate", "deployment/hello", "note=seen")
	for kind, patch := range map[string]string{
		"json":      `[{"op":"add","path":"/metadata/labels/json","value":"yes"}]`,
		"merge":     `{"metadata":{"labels":{"merge":"yes"}}}`,
		"strategic": `{"metadata":{"labels":{"strategic":"yes"}}}`,
	} {
		u.kubectl("patch", "deployment/hello", "--type="+kind, "-p", patch)
	}
	u.want([]string{"tier=web", "json=yes", "merge=yes", "strategic=yes"}, "get", "deployment", "hello", "--show-labels")

	const config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: %s}\n"
	u.feed(fmt.Sprintf(config, "one"), "apply", "--server-side", "--field-manager=first", "-f", "-")
	if out, err := u.try(fmt.Sprintf(config, "two"), "apply", "--server-side", "--field-manager=second", "-f", "-"); err == nil || !strings.Contains(out, `conflict with "first"`) {
		t.Errorf("an apply over another's field does not conflict: %v, %s", err, out)
	}
	u.feed(fmt.Sprintf(config, "two"), "apply", "--server-side", "--field-manager=second", "--force-conflicts", "-f", "-")
	if out := u.kubectl("get", "cm", "applied", "-o", "jsonpath={.data.a}"); out != "two" {
		t.Errorf("the forced apply left %q", out)
	}
	if out, err := u.try("", "diff", "-f", deployment); err == nil || !strings.Contains(out, "replicas") {
		t.Errorf("diff does not show the changed number of replicas: %v, %s", err, out)
	}
}

// testRefuse: mistakes are told in upstream's words.
func testRefuse(t *testing.T, u *user) {
	const bad = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: bad}
spec:
  template:
    metadata: {labels: {a: b}}
    spec:
      containers: [{name: helloNginx, image: nginx}]
`
	out, err := u.try(bad, "apply", "-f", "-")
	if err == nil {
		t.Fatal("a Deployment without a selector was taken")
	}
	for _, text := range []string{
		`The Deployment "bad" is invalid:`, "* spec.selector: Required value",
		"`selector` does not match template `labels`",
		`* spec.template.spec.containers[0].name: Invalid value: "helloNginx": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'`,
	} {
		if !strings.Contains(out, text) {
			t.Errorf("%q is missing:\n%s", text, out)
		}
	}
}

// testStatic: a file in the folder of static pods shows as a mirror pod, and
// goes with the file.
func testStatic(t *testing.T, u *user) {
	const manifest = "apiVersion: v1\nkind: Pod\nmetadata: {name: static}\nspec:\n  containers: [{name: hello, image: 'proa.local/hello:1'}]\n"
	file := filepath.Join(u.dir, "d", "manifests", "static.yaml")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(manifest), 0o644); err != nil {
		t.Fatal(err)
	}
	u.kubectl("wait", "--for=create", "pod/static-node", "--timeout=60s")
	u.kubectl("wait", "--for=condition=Ready", "pod/static-node", "--timeout=60s")
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	u.kubectl("wait", "--for=delete", "pod/static-node", "--timeout=60s")
}

func testVolumes(t *testing.T, u *user) {
	u.feed(`
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue}
---
apiVersion: v1
kind: Secret
metadata: {name: key}
stringData: {word: xyzzy}
---
apiVersion: v1
kind: Pod
metadata: {name: volumes, labels: {who: me}}
spec:
  terminationGracePeriodSeconds: 1
  initContainers:
  - name: first
    image: proa.local/hello:1
    command: [sh, -c, "cat /settings/color > /shared/color"]
    volumeMounts: [{name: settings, mountPath: /settings}, {name: shared, mountPath: /shared}]
  containers:
  - name: main
    image: proa.local/hello:1
    env:
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: ME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    volumeMounts: [{name: shared, mountPath: /shared}, {name: key, mountPath: /key}, {name: down, mountPath: /down}]
  volumes:
  - {name: settings, configMap: {name: settings}}
  - {name: key, secret: {secretName: key}}
  - {name: shared, emptyDir: {}}
  - {name: down, downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}
`, "apply", "-f", "-")
	u.kubectl("wait", "--for=condition=Ready", "pod/volumes", "--timeout=60s")
	u.want([]string{"blue volumes blue xyzzy who=\"me\""}, "exec", "volumes", "-c", "main", "--",
		"sh", "-c", `echo $COLOR $ME $(cat /shared/color) $(cat /key/word) $(cat /down/labels)`)
	u.want([]string{"ca.crt", "namespace", "token"}, "exec", "volumes", "-c", "main", "--", "ls", "/var/run/secrets/kubernetes.io/serviceaccount")
	u.kubectl("delete", "pod", "volumes", "--wait=true")
}
