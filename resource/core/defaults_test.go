package core

import (
	"testing"

	"sigs.k8s.io/yaml"

	"proa/resource"
)

// TestDefaults compares what a client may send with what it gets back, as
// upstream's v1.36 answers.
func TestDefaults(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		def         *resource.Definition
		given, want string
	}{
		"pod": {Pod(), `
spec:
  serviceAccount: robot
  hostNetwork: true
  initContainers: [{name: i, image: busybox}]
  containers:
  - name: a
    image: nginx:1.25
    ports: [{containerPort: 80}]
    env: [{name: N, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: F, valueFrom: {fileKeyRef: {volumeName: e, path: p, key: K}}}]
    resources: {limits: {cpu: 1500u, memory: 1Gi}}
    livenessProbe: {httpGet: {port: 80}}
    readinessProbe: {grpc: {port: 80}}
    lifecycle: {preStop: {httpGet: {port: 80}}}
  volumes:
  - {name: e}
  - {name: s, secret: {secretName: s}}
  - {name: h, hostPath: {path: /x}}
  - name: p
    projected:
      sources: [{serviceAccountToken: {path: t}}, {downwardAPI: {items: [{path: l, fieldRef: {fieldPath: metadata.labels}}]}}]
  - {name: i, image: {reference: "data:latest"}}
`, `
metadata: {}
spec:
  serviceAccountName: robot
  serviceAccount: robot
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  hostNetwork: true
  restartPolicy: Always
  schedulerName: default-scheduler
  securityContext: {}
  terminationGracePeriodSeconds: 30
  initContainers:
  - {name: i, image: busybox, imagePullPolicy: Always, resources: {}, terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File}
  containers:
  - name: a
    image: nginx:1.25
    imagePullPolicy: IfNotPresent
    ports: [{containerPort: 80, hostPort: 80, protocol: TCP}]
    env: [{name: N, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.name}}}, {name: F, valueFrom: {fileKeyRef: {volumeName: e, path: p, key: K, optional: false}}}]
    resources: {limits: {cpu: 2m, memory: 1Gi}, requests: {cpu: 2m, memory: 1Gi}}
    livenessProbe: {httpGet: {path: /, port: 80, scheme: HTTP}, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3}
    readinessProbe: {grpc: {port: 80, service: ""}, timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3}
    lifecycle: {preStop: {httpGet: {path: /, port: 80, scheme: HTTP}}}
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
  volumes:
  - {name: e, emptyDir: {}}
  - {name: s, secret: {secretName: s, defaultMode: 420}}
  - {name: h, hostPath: {path: /x, type: ""}}
  - name: p
    projected:
      defaultMode: 420
      sources: [{serviceAccountToken: {path: t, expirationSeconds: 3600}}, {downwardAPI: {items: [{path: l, fieldRef: {apiVersion: v1, fieldPath: metadata.labels}}]}}]
  - {name: i, image: {reference: "data:latest", pullPolicy: Always}}
status: {}
`},
		"pod with resources of its own": {Pod(), `
spec:
  resources: {limits: {cpu: "2", memory: 2Gi}}
  containers: [{name: a, image: x, resources: {requests: {cpu: 100m}}}, {name: b, image: x, resources: {requests: {cpu: 200m}}}]
`, `
metadata: {}
spec:
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  restartPolicy: Always
  schedulerName: default-scheduler
  securityContext: {}
  terminationGracePeriodSeconds: 30
  resources: {limits: {cpu: "2", memory: 2Gi}, requests: {cpu: 300m, memory: 2Gi}}
  containers:
  - {name: a, image: x, imagePullPolicy: Always, resources: {requests: {cpu: 100m}}, terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File}
  - {name: b, image: x, imagePullPolicy: Always, resources: {requests: {cpu: 200m}}, terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File}
status: {}
`},
		"namespace": {Namespace(), `metadata: {name: n}`, `
metadata: {name: n, labels: {kubernetes.io/metadata.name: n}}
spec: {}
status: {phase: Active}
`},
		"node": {Node(), "spec: {podCIDR: 10.42.0.0/24}\nstatus: {capacity: {cpu: \"4\", memory: 1Gi}}", `
metadata: {}
spec: {podCIDR: 10.42.0.0/24, podCIDRs: [10.42.0.0/24]}
status: {capacity: {cpu: "4", memory: 1Gi}, allocatable: {cpu: "4", memory: 1Gi}, daemonEndpoints: {kubeletEndpoint: {Port: 0}}, nodeInfo: {architecture: "", bootID: "", containerRuntimeVersion: "", kernelVersion: "", kubeProxyVersion: "", kubeletVersion: "", machineID: "", operatingSystem: "", osImage: "", systemUUID: ""}}
`},
		"secret": {Secret(), `stringData: {a: b}`, "metadata: {}\ntype: Opaque\ndata: {a: Yg==}"},
		"service": {Service(), `spec: {ports: [{port: 80}], sessionAffinity: ClientIP}`, `
metadata: {}
spec:
  type: ClusterIP
  ports: [{port: 80, protocol: TCP, targetPort: 80}]
  sessionAffinity: ClientIP
  sessionAffinityConfig: {clientIP: {timeoutSeconds: 10800}}
  internalTrafficPolicy: Cluster
status: {loadBalancer: {}}
`},
		"load balancer": {Service(), "spec: {type: LoadBalancer, ports: [{port: 80, targetPort: web}]}\nstatus: {loadBalancer: {ingress: [{ip: 1.2.3.4}]}}", `
metadata: {}
spec:
  type: LoadBalancer
  ports: [{port: 80, protocol: TCP, targetPort: web}]
  sessionAffinity: None
  internalTrafficPolicy: Cluster
  externalTrafficPolicy: Cluster
  allocateLoadBalancerNodePorts: true
status: {loadBalancer: {ingress: [{ip: 1.2.3.4, ipMode: VIP}]}}
`},
		"replication controller": {ReplicationController(), `spec: {template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: "x:1"}]}}}`, `
metadata: {labels: {a: b}}
spec:
  replicas: 1
  selector: {a: b}
  template:
    metadata: {labels: {a: b}}
    spec:
      dnsPolicy: ClusterFirst
      restartPolicy: Always
      schedulerName: default-scheduler
      securityContext: {}
      terminationGracePeriodSeconds: 30
      containers: [{name: a, image: "x:1", imagePullPolicy: IfNotPresent, resources: {}, terminationMessagePath: /dev/termination-log, terminationMessagePolicy: File}]
status: {replicas: 0}
`},
		"persistent volume": {PersistentVolume(), `spec: {hostPath: {path: /x}}`, `
metadata: {}
spec: {hostPath: {path: /x, type: ""}, persistentVolumeReclaimPolicy: Retain, volumeMode: Filesystem}
status: {phase: Pending}
`},
		"claim": {PersistentVolumeClaim(), `spec: {accessModes: [ReadWriteOnce]}`, `
metadata: {}
spec: {accessModes: [ReadWriteOnce], resources: {}, volumeMode: Filesystem}
status: {phase: Pending}
`},
		"limit range": {LimitRange(), `spec: {limits: [{type: Container, max: {cpu: "2"}, min: {cpu: "1", memory: 1Gi}, default: {memory: 2Gi}}]}`, `
metadata: {}
spec: {limits: [{type: Container, max: {cpu: "2"}, min: {cpu: "1", memory: 1Gi}, default: {cpu: "2", memory: 2Gi}, defaultRequest: {cpu: "2", memory: 2Gi}}]}
`},
		"endpoints": {Endpoints(), `subsets: [{ports: [{port: 80}]}]`, "metadata: {}\nsubsets: [{ports: [{port: 80, protocol: TCP}]}]"},
	} {
		obj := c.def.New()
		if err := yaml.UnmarshalStrict([]byte(c.given), obj); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c.def.Default(obj)
		got, err := yaml.Marshal(obj)
		if err != nil {
			t.Fatal(err)
		}
		// The same object in the same form.
		want := c.def.New()
		if err := yaml.UnmarshalStrict([]byte(c.want), want); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		expected, err := yaml.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(expected) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, expected)
		}
	}
}

func TestImageTag(t *testing.T) {
	t.Parallel()
	for image, want := range map[string]string{
		"nginx":                 "latest",
		"nginx:1.25":            "1.25",
		"nginx:latest":          "latest",
		"localhost:5000/a/b":    "latest",
		"localhost:5000/a/b:v1": "v1",
		"a/b@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855":   "",
		"a/b:x@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": "x",
		"Upper":        "",
		"a..b":         "",
		"":             "",
		"a__b:Tag_1.x": "Tag_1.x",
		"a:":           "",
		"registry.example.com/team/web:2026-05-01": "2026-05-01",
	} {
		if got := imageTag(image); got != want {
			t.Errorf("the tag of %q is %q, want %q", image, got, want)
		}
	}
}
