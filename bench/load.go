package main

import (
	"context"
	"fmt"
	"path"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
)

// loadSpaces share the pods of the load, so that a list of one has half.
var loadSpaces = [2]string{"load-a", "load-b"}

// loadPod is what a workload's template gives, for a scheduler that is not
// there, so that nothing but the API server has work with it.
func loadPod(name string) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Labels: map[string]string{
				"app": "load", "tier": "backend", "pod-template-hash": "5d4f8c7b9",
				// A tenth of the pods have the same.
				"slot": name[len(name)-1:],
			},
		},
		Spec: v1.PodSpec{
			SchedulerName: "none",
			Containers: []v1.Container{{
				Name: "main", Image: "registry.example/load:1",
				Env:   []v1.EnvVar{{Name: "MODE", Value: "production"}, {Name: "PORT", Value: "8080"}},
				Ports: []v1.ContainerPort{{Name: "http", ContainerPort: 8080}},
				Resources: v1.ResourceRequirements{
					Requests: v1.ResourceList{v1.ResourceCPU: resource.MustParse("100m"), v1.ResourceMemory: resource.MustParse("64Mi")},
					Limits:   v1.ResourceList{v1.ResourceMemory: resource.MustParse("128Mi")},
				},
			}},
		},
	}
}

// place spreads the i-th pod's name over the two namespaces.
func place(i int) (namespace, name string) {
	return loadSpaces[i%2], fmt.Sprintf("load-%d", i)
}

func (s *subject) createPod(ctx context.Context, ns, name string) error {
	_, err := s.client.CoreV1().Pods(ns).Create(ctx, loadPod(name), metav1.CreateOptions{})
	return err
}

func (s *subject) getPod(ctx context.Context, ns, name string) error {
	_, err := s.client.CoreV1().Pods(ns).Get(ctx, name, metav1.GetOptions{})
	return err
}

func (s *subject) patchPod(ctx context.Context, ns, name string) error {
	patch := []byte(`{"metadata":{"annotations":{"bench":"patched"}}}`)
	_, err := s.client.CoreV1().Pods(ns).Patch(ctx, name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	return err
}

// applyPod applies, on the server's side, what it has not applied before.
func (s *subject) applyPod(ctx context.Context, ns, name string) error {
	apply := fmt.Appendf(nil, `{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q,"labels":{"applied":"yes"}}}`, name)
	_, err := s.client.CoreV1().Pods(ns).Patch(ctx, name, types.ApplyPatchType, apply, metav1.PatchOptions{FieldManager: "bench"})
	return err
}

func (s *subject) deletePod(ctx context.Context, ns, name string) error {
	return s.client.CoreV1().Pods(ns).Delete(ctx, name, metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)})
}

// measureLoad works on many pods: create, get, patch, list, delete.
func (b *bench) measureLoad(ctx context.Context) error {
	for _, ns := range loadSpaces {
		if err := b.namespace(ctx, ns); err != nil {
			return err
		}
	}
	if err := b.operation(ctx, "create", createRate, createCPU, b.createPod); err != nil {
		return fmt.Errorf("create: %w", err)
	}
	if err := pause(ctx, settle); err != nil {
		return err
	}
	server, err := readProcess(b.server)
	if err != nil {
		return fmt.Errorf("the server's memory: %w", err)
	}
	b.figures[loadedMemory] = megabytes(server.rss)
	if err := b.profileHeap(ctx, "created"); err != nil {
		return err
	}
	if err := b.operation(ctx, "get", getRate, getCPU, b.getPod); err != nil {
		return fmt.Errorf("get: %w", err)
	}
	if err := b.operation(ctx, "patch", patchRate, patchCPU, b.patchPod); err != nil {
		return fmt.Errorf("patch: %w", err)
	}
	if err := b.measureLists(ctx); err != nil {
		return fmt.Errorf("list: %w", err)
	}
	if err := b.operation(ctx, "delete", deleteRate, deleteCPU, b.deletePod); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	return nil
}

// operation runs f on every pod of the load, several at a time, and notes the
// rate and the server's CPU time of one.
func (b *bench) operation(ctx context.Context, name string, rate, cpu figure, f func(ctx context.Context, namespace, name string) error) error {
	n := b.plan.objects
	profiled := b.profileCPU(ctx, name)
	wall, used, err := b.cost(func() error {
		_, err := b.each(ctx, 0, n, f)
		return err
	})
	if err != nil {
		return err
	}
	b.figures[rate] = float64(n) / wall.Seconds()
	b.figures[cpu] = milliseconds(used) / float64(n)
	return profiled()
}

// measureLists reads half and all of the pods in both formats, compressed as
// client-go asks for by itself, and once not. The bodies are not decoded, so that the time is the server's and the wire's; the first list
// of each kind is decoded to see that it is whole, and does not count.
func (b *bench) measureLists(ctx context.Context) error {
	for _, l := range []struct {
		contentType string
		namespace   string
		want        int
		encoding    string
		cpu, wall   figure
	}{
		{protobuf, loadSpaces[0], b.plan.objects / 2, "gzip", listHalfCPU, listHalfTime},
		{protobuf, loadSpaces[0], b.plan.objects / 2, "identity", listPlainCPU, listPlainTime},
		{protobuf, "", b.plan.objects, "gzip", listAllCPU, listAllTime},
		{jsonType, loadSpaces[0], b.plan.objects / 2, "gzip", listHalfJSONCPU, listHalfJSONTime},
		{jsonType, "", b.plan.objects, "gzip", listAllJSONCPU, listAllJSONTime},
	} {
		client, err := b.cluster.client(l.contentType, false)
		if err != nil {
			return err
		}
		pods, err := client.CoreV1().Pods(l.namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(pods.Items) != l.want {
			return fmt.Errorf("%d pods in %q, want %d", len(pods.Items), l.namespace, l.want)
		}
		n := time.Duration(b.plan.lists)
		profiled := b.profileCPU(ctx, fmt.Sprintf("list-%d-%s-%s", l.want, path.Base(l.contentType), l.encoding))
		wall, used, err := b.cost(func() error {
			for range n {
				if _, err := client.CoreV1().RESTClient().Get().Namespace(l.namespace).Resource("pods").
					SetHeader("Accept-Encoding", l.encoding).DoRaw(ctx); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		b.figures[l.cpu], b.figures[l.wall] = milliseconds(used/n), milliseconds(wall/n)
		if err := profiled(); err != nil {
			return err
		}
	}
	return nil
}
