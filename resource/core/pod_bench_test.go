package core

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"proa/resource"
)

// typicalPod is what a Deployment makes, with what admission adds.
const typicalPod = `
metadata:
  name: web-5d59d67564-x2x7k
  namespace: default
  labels: {app: web, pod-template-hash: 5d59d67564}
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-5d59d67564, uid: 1b4e28ba-2fa1-11d2-883f-0016d3cca427, controller: true, blockOwnerDeletion: true}]
spec:
  serviceAccountName: default
  containers:
  - name: web
    image: registry.example.com/team/web:1.25
    ports: [{containerPort: 80, name: http}]
    env: [{name: A, value: b}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
    resources: {requests: {cpu: 100m, memory: 128Mi}, limits: {memory: 256Mi}}
    livenessProbe: {httpGet: {path: /healthz, port: http}}
    readinessProbe: {httpGet: {path: /readyz, port: 80}}
    volumeMounts: [{name: kube-api-access-abcde, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}]
  volumes:
  - name: kube-api-access-abcde
    projected:
      sources:
      - serviceAccountToken: {path: token, expirationSeconds: 3607}
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}]}
      - downwardAPI: {items: [{path: namespace, fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}]}
  tolerations:
  - {key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 300}
  - {key: node.kubernetes.io/unreachable, operator: Exists, effect: NoExecute, tolerationSeconds: 300}
`

// BenchmarkPodHooks is what a create and a status update cost in the row.
func BenchmarkPodHooks(b *testing.B) {
	d := Pod()
	given := new(corev1.Pod)
	if err := yaml.Unmarshal([]byte(typicalPod), given); err != nil {
		b.Fatal(err)
	}
	req := &resource.Request{}
	pods := make([]*corev1.Pod, 64)
	b.Run("create", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if i%len(pods) == 0 {
				b.StopTimer()
				for j := range pods {
					pods[j] = given.DeepCopy()
				}
				b.StartTimer()
			}
			p := pods[i%len(pods)]
			d.Default(p)
			d.PrepareCreate(req, p)
			if errs := d.Validate(p); len(errs) > 0 {
				b.Fatal(errs)
			}
			d.Warnings(p, nil)
		}
	})
	d.Default(given)
	d.PrepareCreate(req, given)
	next := given.DeepCopy()
	next.Status.Phase = corev1.PodRunning
	b.Run("status", func(b *testing.B) {
		b.ReportAllocs()
		u := d.Updates["status"]
		for b.Loop() {
			u.PrepareUpdate(req, next, given)
			if errs := u.ValidateUpdate(next, given); len(errs) > 0 {
				b.Fatal(errs)
			}
		}
	})
	b.Run("cells", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			d.Cells(given, time.Time{})
		}
	})
}
