package apiserver_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/apiserver/codec"
	"proa/apiserver/fairness"
	"proa/auth"
	"proa/cache"
)

const pb = "application/vnd.kubernetes.protobuf"

// benchPod is about what a small web server's pod is.
func benchPod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": "web", "pod-template-hash": "5d4c8b7f9"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "web", Image: "registry.example/web:1.2.3", Args: []string{"--port=8080"},
			Ports: []corev1.ContainerPort{{ContainerPort: 8080, Name: "http"}},
			Env:   []corev1.EnvVar{{Name: "A", Value: "b"}, {Name: "C", Value: "d"}},
		}}},
	}
}

func message(b *testing.B, obj runtime.Object, kind string) string {
	out, err := codec.AppendMessage(nil, obj, corev1.SchemeGroupVersion.WithKind(kind))
	if err != nil {
		b.Fatal(err)
	}
	return string(out)
}

// send calls the handler without a recorder's cost.
func send(b *testing.B, env *apitest.Env, method, path, contentType, accept, body string, code int) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("Accept", accept)
	r.Header.Set("User-Agent", "bench/1")
	w := &discard{header: http.Header{}}
	// On a new goroutine, as a server does.
	done := make(chan struct{})
	go func() {
		defer close(done)
		env.Handler.ServeHTTP(w, r.WithContext(auth.WithUser(r.Context(), apitest.AdminUser)))
	}()
	<-done
	if w.code != code {
		b.Fatalf("%s %s: %d", method, path, w.code)
	}
}

type discard struct {
	header http.Header
	code   int
	bytes  int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(code int)        { d.code = code }
func (d *discard) Write(p []byte) (int, error) { d.bytes += len(p); return len(p), nil }

// cpu reports what an operation costs the process in CPU time, which other
// work on the machine does not change as it does the time that passes.
func cpu(b *testing.B) {
	var before, after syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &before); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &after); err != nil {
			b.Fatal(err)
		}
		spent := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
		b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
	})
}

func benchEnv(b *testing.B) *apitest.Env {
	b.Helper()
	env := apitest.Start(b)
	send(b, env, "POST", podsPath, pb, pb, message(b, benchPod("first"), "Pod"), 201)
	return env
}

func BenchmarkCreate(b *testing.B) {
	for _, accept := range []string{pb, "application/json"} {
		b.Run(accept[len("application/"):], func(b *testing.B) {
			env := benchEnv(b)
			b.ReportAllocs()
			cpu(b)
			i := 0
			for b.Loop() {
				b.StopTimer()
				pod := benchPod(fmt.Sprint("p", i))
				body := message(b, pod, "Pod")
				if accept != pb {
					pod.Kind, pod.APIVersion = "Pod", "v1"
					js, err := codec.AppendJSON(nil, pod, false)
					if err != nil {
						b.Fatal(err)
					}
					body = string(js)
				}
				i++
				b.StartTimer()
				send(b, env, "POST", podsPath, accept, accept, body, 201)
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	for _, accept := range []string{pb, "application/json"} {
		b.Run(accept[len("application/"):], func(b *testing.B) {
			env := benchEnv(b)
			b.ReportAllocs()
			cpu(b)
			for b.Loop() {
				send(b, env, "GET", podsPath+"/first", "", accept, "", 200)
			}
		})
	}
}

func BenchmarkPatch(b *testing.B) {
	for _, kind := range []string{strategic, mergeType, jsonPatch, applyType} {
		b.Run(kind[len("application/"):], func(b *testing.B) {
			env := benchEnv(b)
			b.ReportAllocs()
			cpu(b)
			i := 0
			for b.Loop() {
				i++
				path, body := podsPath+"/first", fmt.Sprintf(`{"metadata":{"labels":{"n":"%d"}}}`, i)
				switch kind {
				case jsonPatch:
					body = fmt.Sprintf(`[{"op":"add","path":"/metadata/labels/n","value":"%d"}]`, i)
				case applyType:
					path += "?fieldManager=m"
					body = fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"first","labels":{"n":"%d"}}}`, i)
				}
				send(b, env, "PATCH", path, kind, pb, body, 200)
			}
		})
	}
}

func BenchmarkStatusUpdate(b *testing.B) {
	env := benchEnv(b)
	pod, err := env.Admin.CoreV1().Pods("default").Get(b.Context(), "first", metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	pod.ResourceVersion = ""
	b.ReportAllocs()
	cpu(b)
	i := 0
	for b.Loop() {
		i++
		b.StopTimer()
		pod.Status.Message = fmt.Sprint("m", i)
		body := message(b, pod, "Pod")
		b.StartTimer()
		send(b, env, "PUT", podsPath+"/first/status", pb, pb, body, 200)
	}
}

func BenchmarkDelete(b *testing.B) {
	env := benchEnv(b)
	b.ReportAllocs()
	cpu(b)
	i := 0
	for b.Loop() {
		b.StopTimer()
		i++
		name := fmt.Sprint("p", i)
		send(b, env, "POST", podsPath, pb, pb, message(b, benchPod(name), "Pod"), 201)
		b.StartTimer()
		send(b, env, "DELETE", podsPath+"/"+name, pb, pb, "", 200)
	}
}

func BenchmarkList5000(b *testing.B) {
	for _, accept := range []string{pb, "application/json", "application/json;as=Table;v=v1;g=meta.k8s.io"} {
		b.Run(strings.TrimSuffix(accept[len("application/"):], ";v=v1;g=meta.k8s.io"), func(b *testing.B) {
			env := apitest.Start(b, apitest.WithHub(cache.Options{EncodingBytes: 64 << 20}))
			for i := range 5000 {
				send(b, env, "POST", podsPath, pb, pb, message(b, benchPod(fmt.Sprint("p", i)), "Pod"), 201)
			}
			b.ReportAllocs()
			cpu(b)
			for b.Loop() {
				send(b, env, "GET", podsPath+"?resourceVersion=0", "", accept, "", 200)
			}
		})
	}
}

// BenchmarkWatch delivers each of b.N events to 100 watches.
func BenchmarkWatch(b *testing.B) {
	for _, accept := range []string{pb, "application/json"} {
		b.Run(accept[len("application/"):], func(b *testing.B) {
			const watches = 100
			env := benchEnv(b)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			var seen atomic.Int64
			for range watches {
				r := httptest.NewRequest("GET", podsPath+"?watch=1", nil).WithContext(auth.WithUser(ctx, apitest.AdminUser))
				r.Header.Set("Accept", accept)
				go env.Handler.ServeHTTP(&counting{header: http.Header{}, seen: &seen}, r)
			}
			for seen.Load() < watches {
				// The initial state is on its way.
			}
			b.ReportAllocs()
			cpu(b)
			i := int64(1)
			for b.Loop() {
				send(b, env, "PATCH", podsPath+"/first", mergeType, pb, fmt.Sprintf(`{"metadata":{"labels":{"n":"%d"}}}`, i), 200)
				i++
			}
			for seen.Load() < i*watches {
			}
			b.ReportMetric(float64((i-1)*watches)/b.Elapsed().Seconds(), "deliveries/s")
		})
	}
}

// counting counts events: one write each.
type counting struct {
	header http.Header
	seen   *atomic.Int64
}

func (c *counting) Header() http.Header         { return c.header }
func (c *counting) WriteHeader(int)             {}
func (c *counting) Write(p []byte) (int, error) { c.seen.Add(1); return len(p), nil }
func (c *counting) Flush()                      {}

// BenchmarkListOverTLS is a list as a client gets it, over TLS and HTTP/2. The
// client's share of the CPU is in it.
func BenchmarkListOverTLS(b *testing.B) {
	env := apitest.Start(b)
	for i := range 5000 {
		send(b, env, "POST", podsPath, pb, pb, message(b, benchPod(fmt.Sprint("p", i)), "Pod"), 201)
	}
	client := env.Remote(apitest.AdminUser).CoreV1().RESTClient()
	b.ReportAllocs()
	cpu(b)
	for b.Loop() {
		body, err := client.Get().AbsPath(podsPath).SetHeader("Accept", pb).SetHeader("Accept-Encoding", "identity").Stream(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err = io.Copy(io.Discard, body); err != nil {
			b.Fatal(err)
		}
		body.Close()
	}
}

// BenchmarkWire is a read and a write of a modest user over TLS, with plain bounds
// and with priority and fairness.
func BenchmarkWire(b *testing.B) {
	for name, shared := range map[string]*fairness.Fairness{"bounds": nil, "fairness": fairness.New(fairness.Config{Total: 600})} {
		env := apitest.Start(b, apitest.WithConfig(func(c *apiserver.Config) { c.Fairness = shared }))
		maps := env.Remote(&auth.User{Name: "modest"}).CoreV1().ConfigMaps("default")
		b.Run("create/"+name, func(b *testing.B) {
			cpu(b)
			for b.Loop() {
				if _, err := maps.Create(b.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{GenerateName: "a"}}, metav1.CreateOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
		if _, err := maps.Create(b.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "one"}}, metav1.CreateOptions{}); err != nil {
			b.Fatal(err)
		}
		b.Run("get/"+name, func(b *testing.B) {
			cpu(b)
			for b.Loop() {
				if _, err := maps.Get(b.Context(), "one", metav1.GetOptions{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
