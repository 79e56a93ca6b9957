package cache_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"proa/cache"
	"proa/cache/codec"
	"proa/store/memory"
)

// fullPod is a running pod of a deployment as a cluster has it, with managed
// fields and status: some 5 KiB of JSON.
func fullPod(i int) *corev1.Pod {
	now := metav1.NewTime(time.Unix(1700000000+int64(i), 0))
	yes, no := true, false
	user := int64(1000)
	seconds := int64(30)
	tolerate := int64(300)
	mode := int32(420)
	expires := int64(3607)
	started := true
	name := fmt.Sprintf("web-7c5ddbdf54-%05d", i)
	condition := func(t corev1.PodConditionType) corev1.PodCondition {
		return corev1.PodCondition{Type: t, Status: corev1.ConditionTrue, LastTransitionTime: now, ObservedGeneration: 1}
	}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, GenerateName: "web-7c5ddbdf54-", Namespace: fmt.Sprintf("team-%d", i%20),
			UID: types.UID(fmt.Sprintf("8f2a6a0c-5d0e-4a5e-9c7e-%012d", i)), CreationTimestamp: now, Generation: 1,
			Labels: map[string]string{"app": "web", "app.kubernetes.io/name": "web", "pod-template-hash": "7c5ddbdf54"},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-7c5ddbdf54",
				UID: "0d8c1a52-7e1f-4ce0-8f4f-3f1c5a8a2b11", Controller: &yes, BlockOwnerDeletion: &yes,
			}},
			ManagedFields: []metav1.ManagedFieldsEntry{
				{Manager: "kube-controller-manager", Operation: "Update", APIVersion: "v1", Time: &now, FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(
					`{"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:app.kubernetes.io/name":{},"f:pod-template-hash":{}},"f:ownerReferences":{".":{},"k:{\"uid\":\"0d8c1a52-7e1f-4ce0-8f4f-3f1c5a8a2b11\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"web\"}":{".":{},"f:env":{".":{},"k:{\"name\":\"MODE\"}":{".":{},"f:name":{},"f:value":{}},"k:{\"name\":\"POD_IP\"}":{".":{},"f:name":{},"f:valueFrom":{}}},"f:image":{},"f:imagePullPolicy":{},"f:livenessProbe":{".":{},"f:failureThreshold":{},"f:httpGet":{".":{},"f:path":{},"f:port":{},"f:scheme":{}},"f:periodSeconds":{},"f:successThreshold":{},"f:timeoutSeconds":{}},"f:name":{},"f:ports":{".":{},"k:{\"containerPort\":8080,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"f:resources":{".":{},"f:limits":{".":{},"f:memory":{}},"f:requests":{".":{},"f:cpu":{},"f:memory":{}}},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{}}},"f:dnsPolicy":{},"f:enableServiceLinks":{},"f:restartPolicy":{},"f:schedulerName":{},"f:securityContext":{},"f:terminationGracePeriodSeconds":{}}}`)}},
				{Manager: "kubelet", Operation: "Update", APIVersion: "v1", Time: &now, Subresource: "status", FieldsType: "FieldsV1", FieldsV1: &metav1.FieldsV1{Raw: []byte(
					`{"f:status":{"f:conditions":{"k:{\"type\":\"ContainersReady\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Initialized\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}},"k:{\"type\":\"Ready\"}":{".":{},"f:lastProbeTime":{},"f:lastTransitionTime":{},"f:status":{},"f:type":{}}},"f:containerStatuses":{},"f:hostIP":{},"f:hostIPs":{},"f:phase":{},"f:podIP":{},"f:podIPs":{".":{},"k:{\"ip\":\"10.42.0.7\"}":{".":{},"f:ip":{}}},"f:startTime":{}}}`)}},
			},
		},
		Spec: corev1.PodSpec{
			Volumes: []corev1.Volume{{Name: "kube-api-access-x2x9z", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: &mode, Sources: []corev1.VolumeProjection{
				{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: &expires, Path: "token"}},
				{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
				{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}}}},
			}}}}},
			Containers: []corev1.Container{{
				Name: "web", Image: "registry.example.com/team/web:v1.2.3",
				Ports: []corev1.ContainerPort{{ContainerPort: 8080, Protocol: "TCP"}},
				Env: []corev1.EnvVar{{Name: "MODE", Value: "production"}, {Name: "POD_IP", ValueFrom: &corev1.EnvVarSource{
					FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "status.podIP"}}}},
				Resources: corev1.ResourceRequirements{
					Limits:   corev1.ResourceList{"memory": resource.MustParse("128Mi")},
					Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")},
				},
				VolumeMounts: []corev1.VolumeMount{{Name: "kube-api-access-x2x9z", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}},
				LivenessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromInt32(8080), Scheme: "HTTP"}},
					TimeoutSeconds: 1, PeriodSeconds: 10, SuccessThreshold: 1, FailureThreshold: 3},
				TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File", ImagePullPolicy: "IfNotPresent",
				SecurityContext: &corev1.SecurityContext{RunAsUser: &user, AllowPrivilegeEscalation: &no},
			}},
			RestartPolicy: "Always", TerminationGracePeriodSeconds: &seconds, DNSPolicy: "ClusterFirst",
			ServiceAccountName: "default", DeprecatedServiceAccount: "default", NodeName: fmt.Sprintf("node-%04d", i%500),
			SecurityContext: &corev1.PodSecurityContext{}, SchedulerName: "default-scheduler",
			Tolerations: []corev1.Toleration{
				{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &tolerate},
				{Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: &tolerate},
			},
			EnableServiceLinks: &yes,
		},
		Status: corev1.PodStatus{
			Phase:      "Running",
			Conditions: []corev1.PodCondition{condition("PodReadyToStartContainers"), condition("Initialized"), condition("Ready"), condition("ContainersReady"), condition("PodScheduled")},
			HostIP:     "192.168.1.10", HostIPs: []corev1.HostIP{{IP: "192.168.1.10"}},
			PodIP: fmt.Sprintf("10.42.%d.%d", i/250%250, i%250), PodIPs: []corev1.PodIP{{IP: fmt.Sprintf("10.42.%d.%d", i/250%250, i%250)}},
			StartTime: &now, QOSClass: "Burstable",
			ContainerStatuses: []corev1.ContainerStatus{{
				Name: "web", Ready: true, Started: &started, Image: "registry.example.com/team/web:v1.2.3",
				ImageID:     "registry.example.com/team/web@sha256:3c5f2f2a5d1d9e0f7b7c7d2a1e4f5b6c7d8e9f0a1b2c3d4e5f60718293a4b5c6",
				ContainerID: fmt.Sprintf("containerd://%064d", i),
				State:       corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
			}},
		},
	}
}

// filled returns a store with n pods.
func filled(tb testing.TB, n int) *memory.Store {
	s := newMemory(tb)
	def := podDef()
	for i := range n {
		p := fullPod(i)
		data, err := codec.Storage{}.Encode(def, p)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := s.Create(tb.Context(), def.Key(p.Namespace, p.Name), data, 0); err != nil {
			tb.Fatal(err)
		}
	}
	return s
}

func live() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkMemory reports the live heap per pod of a loaded cache, the stored
// bytes included.
func BenchmarkMemory(b *testing.B) {
	const n = 5000
	s := filled(b, n)
	for b.Loop() {
		before := live()
		h := start(b, s, cache.Options{})
		pods := h.Cache(podDef())
		if err := pods.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
		used := live() - before
		// The memory store keeps the stored bytes, which etcd would not.
		e, _, err := pods.Get(b.Context(), "team-0", "web-7c5ddbdf54-00000", cache.Any, 0)
		if err != nil {
			b.Fatal(err)
		}
		js, err := json.Marshal(e.Object)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(used)/n+float64(len(e.Stored())), "B/pod")
		b.ReportMetric(float64(len(e.Stored())), "stored-B/pod")
		b.ReportMetric(float64(len(js)), "json-B/pod")
	}
}

func BenchmarkLoad(b *testing.B) {
	const n = 5000
	s := filled(b, n)
	b.ReportAllocs()
	for b.Loop() {
		pods := start(b, s, cache.Options{}).Cache(podDef())
		if err := pods.Wait(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "µs/pod")
}

func BenchmarkList(b *testing.B) {
	const n = 5000
	def := podDef()
	h := start(b, filled(b, n), cache.Options{})
	pods := h.Cache(def)
	onNode := cache.NewPredicate(def, nil, "", nil, fields.OneTermEqualSelector("spec.nodeName", "node-0007"))
	inNamespace := cache.NewPredicate(def, nil, "team-7", nil, nil)
	for _, c := range []struct {
		name string
		r    cache.ListRequest
	}{
		{"all", cache.ListRequest{}},
		{"page of 500", cache.ListRequest{Limit: 500}},
		{"of a namespace", cache.ListRequest{Predicate: inNamespace}},
		{"of a node", cache.ListRequest{Predicate: onNode}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := pods.List(b.Context(), c.r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("all as protobuf", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			r, err := pods.List(b.Context(), cache.ListRequest{})
			if err != nil {
				b.Fatal(err)
			}
			buf = buf[:0]
			for _, e := range r.Entries {
				if buf, err = e.Protobuf(buf); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.SetBytes(int64(len(buf)))
	})
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := pods.Get(b.Context(), "team-7", "web-7c5ddbdf54-00007", cache.Latest, 0); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkWatch measures an update with n watches reading, each of which asks
// for the JSON of every event. One op is one event for all of them.
func BenchmarkWatch(b *testing.B) {
	for _, n := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(n, " of everything"), func(b *testing.B) { watchBench(b, n, false) })
	}
	b.Run("1000 of a node each", func(b *testing.B) { watchBench(b, 1000, true) })
}

func watchBench(b *testing.B, n int, nodes bool) {
	def := podDef()
	h := start(b, newMemory(b), cache.Options{WatchLag: 1 << 30})
	pods := h.Cache(def)
	ctx := b.Context()
	e := create(b, pods, fullPod(0))
	var done sync.WaitGroup
	last := make(chan int64)
	for i := range n {
		var p *cache.Predicate
		if nodes {
			p = cache.NewPredicate(def, nil, "", nil, fields.OneTermEqualSelector("spec.nodeName", fmt.Sprintf("node-%04d", i)))
		}
		w, err := pods.Watch(ctx, cache.WatchRequest{Predicate: p, SkipInitial: true})
		if err != nil {
			b.Fatal(err)
		}
		done.Go(func() {
			defer w.Stop()
			var end int64 = 1 << 62
			for at := int64(0); at < end; {
				evs, err := w.Next(ctx)
				if err != nil {
					b.Error(err)
					return
				}
				for _, ev := range evs {
					if at = ev.Revision; ev.Entry == nil {
						end = at
						break
					}
					if _, err := ev.Entry.Encoding(cache.EncodingKey{Version: "v1", Format: "json"}, func() ([]byte, error) {
						return json.Marshal(ev.Entry.Object)
					}); err != nil {
						b.Error(err)
					}
				}
			}
		})
		go func() {
			<-last
			w.Bookmark()
		}()
	}
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		p := *e.Object.(*corev1.Pod)
		var err error
		if e, err = pods.Update(ctx, e, &p, 0); err != nil {
			b.Fatal(err)
		}
	}
	if err := h.WaitUntil(ctx, e.Revision); err != nil {
		b.Fatal(err)
	}
	close(last)
	done.Wait()
	b.ReportMetric(float64(b.N)*float64(n)/b.Elapsed().Seconds(), "deliveries/s")
}

// BenchmarkWrite is a create through the cache, without the disk.
func BenchmarkWrite(b *testing.B) {
	pods := start(b, newMemory(b), cache.Options{}).Cache(podDef())
	if err := pods.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	p := fullPod(0)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		q := *p
		q.Name = fmt.Sprint("p", i)
		create(b, pods, &q)
	}
}

func TestFullPodIsRealistic(t *testing.T) {
	t.Parallel()
	js, err := json.Marshal(fullPod(1))
	if err != nil {
		t.Fatal(err)
	}
	if len(js) < 4000 || strings.Contains(string(js), "null,") && len(js) > 8000 {
		t.Errorf("%d bytes of JSON", len(js))
	}
}
