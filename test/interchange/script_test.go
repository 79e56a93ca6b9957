package interchange

import (
	"fmt"
	"strings"
	"testing"
)

// manifest is what the user deploys: two web servers behind a Service, which
// read a file from a ConfigMap and have a token of their own.
const manifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      initContainers:
      - {name: first, image: "proa.local/hello:1", command: [sh, -c, "cp /settings/color /shared/"],
         volumeMounts: [{name: settings, mountPath: /settings}, {name: shared, mountPath: /shared}]}
      containers:
      - name: web
        image: proa.local/hello:1
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        volumeMounts: [{name: shared, mountPath: /shared}]
      volumes:
      - {name: settings, configMap: {name: settings}}
      - {name: shared, emptyDir: {}}
`

// step is one thing that a user does, and sees happen.
type step struct {
	name string
	do   func(t *testing.T, c *cluster)
}

// script is the user's work, the same in every row. A step builds on those
// before it.
var script = []step{
	{"the node is ready", func(t *testing.T, c *cluster) {
		c.kubectl("wait", "--for=create", "node/"+nodeName, "--timeout=90s")
		c.kubectl("wait", "--for=condition=Ready", "node/"+nodeName, "--timeout=90s")
		c.kubectl("wait", "--for=create", "serviceaccount/default", "--timeout=60s")
	}},
	{"a deployment is rolled out", func(t *testing.T, c *cluster) {
		c.apply(manifest)
		c.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
		c.want([]string{"2/2"}, "get", "deployment", "web")
		c.want([]string{"Successfully assigned default/web-", "Started"}, "describe", "pods", "-l", "app=web")
	}},
	{"logs and exec reach the container", func(t *testing.T, c *cluster) {
		c.want([]string{"listens on"}, "logs", "deployment/web", "-c", "web")
		c.want([]string{"blue " + nodeName}, "exec", "deployment/web", "-c", "web", "--", "sh", "-c", "echo $(cat /shared/color) $NODE")
		c.want([]string{"token"}, "exec", "deployment/web", "-c", "web", "--", "ls", "/var/run/secrets/kubernetes.io/serviceaccount")
	}},
	{"a service reaches its pods", func(t *testing.T, c *cluster) {
		ip := c.kubectl("get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
		c.kubectl("wait", "--for=jsonpath={.endpoints[1].conditions.ready}=true", "endpointslices", "-l", "kubernetes.io/service-name=web", "--timeout=60s")
		c.until("the service's address", c.asking("exec", "deployment/web", "-c", "web", "--", "wget", "-qO-", "http://"+ip+"/"))
	}},
	{"pods reach the API server by its service", func(t *testing.T, c *cluster) {
		// busybox has no TLS that a modern server accepts: to be refused is to be heard.
		c.until("the API server's address", c.asking("exec", "deployment/web", "-c", "web", "--",
			"sh", "-c", "wget -qO- http://"+apiService+":443/ 2>&1 | grep '400 Bad Request'"))
	}},
	{"an update is rolled out and back", func(t *testing.T, c *cluster) {
		c.kubectl("set", "image", "deployment/web", "web=proa.local/hello:2")
		c.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
		c.want([]string{"version: 2"}, "exec", "deployment/web", "-c", "web", "--", "wget", "-qO-", "http://127.0.0.1:8080/")
		c.kubectl("rollout", "undo", "deployment/web")
		c.kubectl("rollout", "status", "deployment/web", "--timeout=90s")
		c.want([]string{"version: 1"}, "exec", "deployment/web", "-c", "web", "--", "wget", "-qO-", "http://127.0.0.1:8080/")
	}},
	{"a deployment is scaled", func(t *testing.T, c *cluster) {
		c.kubectl("scale", "deployment/web", "--replicas=3")
		c.kubectl("wait", "deployment/web", "--for=jsonpath={.status.readyReplicas}=3", "--timeout=90s")
		c.kubectl("scale", "deployment/web", "--replicas=1")
		c.kubectl("wait", "deployment/web", "--for=jsonpath={.status.replicas}=1", "--timeout=90s")
	}},
	{"what fails is restarted", func(t *testing.T, c *cluster) {
		c.apply("apiVersion: v1\nkind: Pod\nmetadata: {name: restless}\nspec:\n  containers: [{name: main, image: 'proa.local/hello:1', command: [sh, -c, 'sleep 1; exit 3']}]\n")
		c.kubectl("wait", "pod/restless", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "--timeout=60s")
		c.want([]string{"exitCode: 3"}, "get", "pod", "restless", "-o", "yaml")
		c.kubectl("delete", "pod", "restless", "--grace-period=1")
	}},
	{"server-side apply finds conflicts", func(t *testing.T, c *cluster) {
		const config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {a: %s}\n"
		c.apply(fmt.Sprintf(config, "one"), "--server-side", "--field-manager=first")
		if out, err := c.feed(fmt.Sprintf(config, "two"), "apply", "--server-side", "--field-manager=second", "-f", "-"); err == nil || !strings.Contains(out, `conflict with "first"`) {
			t.Errorf("an apply over another's field does not conflict: %v, %s", err, out)
		}
	}},
	{"what is deleted takes along what it owns", func(t *testing.T, c *cluster) {
		c.kubectl("delete", "deployment", "web")
		c.kubectl("wait", "--for=delete", "pod", "-l", "app=web", "--timeout=90s")
		if out := c.kubectl("get", "replicasets", "-o", "name"); out != "" {
			t.Errorf("replica sets are left: %s", out)
		}
	}},
	{"a namespace goes with all that is in it", func(t *testing.T, c *cluster) {
		c.kubectl("create", "namespace", "passing")
		c.kubectl("create", "configmap", "inside", "-n", "passing")
		c.kubectl("delete", "namespace", "passing", "--wait=false")
		c.kubectl("wait", "--for=delete", "namespace/passing", "--timeout=90s")
	}},
}
