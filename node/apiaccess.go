package node

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/component-helpers/apimachinery/lease"
	"k8s.io/utils/clock"

	coordinationv1 "k8s.io/api/coordination/v1"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/node/pod"
	"proa/node/register"
)

// leaseRenewal is the share of the lease's duration after which it is renewed.
const leaseRenewal = 0.25

// lease renews the node's heartbeat, once there is a node, until ctx ends.
func (a *Agent) lease(ctx context.Context) {
	secs := a.cfg.Kubelet.NodeLeaseDurationSeconds
	renew := time.Duration(float64(secs) * leaseRenewal * float64(time.Second))
	// A lease that is made before its node belongs to nobody, and outlives a node
	// that is removed before the lease is renewed.
	select {
	case <-a.registrar.Registered():
	case <-ctx.Done():
		return
	}
	own := func(l *coordinationv1.Lease) error {
		if len(l.OwnerReferences) == 0 {
			n := a.registrar.Node()
			l.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Node", Name: n.Name, UID: n.UID}}
		}
		return nil
	}
	lease.NewController(clock.RealClock{}, a.cfg.Client, a.cfg.NodeName, secs, nil, renew, a.cfg.NodeName, v1.NamespaceNodeLease, own).Run(ctx)
}

// services follows all services, for the environment of containers.
type services struct {
	factory informers.SharedInformerFactory
	lister  corelisters.ServiceLister
	synced  cache.InformerSynced
	// absent is set while the API server says that it serves no services.
	absent atomic.Bool
}

func newServices(client kubernetes.Interface) *services {
	f := informers.NewSharedInformerFactory(client, 0)
	s := f.Core().V1().Services()
	out := &services{factory: f, lister: s.Lister(), synced: s.Informer().HasSynced}
	_ = s.Informer().SetWatchErrorHandlerWithContext(func(ctx context.Context, r *cache.Reflector, err error) {
		if !apierrors.IsNotFound(err) {
			cache.DefaultWatchErrorHandler(ctx, r, err)
			return
		}
		out.absent.Store(true)
	}) // fails only once the informer runs
	return out
}

func (s *services) run(ctx context.Context) {
	s.factory.StartWithContext(ctx)
	<-ctx.Done()
	s.factory.Shutdown()
}

// servicesWait bounds how long the start of a container waits for the first list
// of services.
const servicesWait = 10 * time.Second

// environment returns the services whose addresses containers of the pod are
// given. Static pods do not wait for the API server.
func (s *services) environment(ctx context.Context, p *v1.Pod) ([]*v1.Service, error) {
	if !s.synced() && !s.absent.Load() && !pod.IsStatic(p) {
		ctx, cancel := context.WithTimeout(ctx, servicesWait)
		defer cancel()
		if !cache.WaitForCacheSync(ctx.Done(), func() bool { return s.synced() || s.absent.Load() }) {
			return nil, fmt.Errorf("services have not yet been read at least once, cannot construct envvars")
		}
	}
	out, err := s.lister.Services(p.Namespace).List(labels.Everything())
	if err != nil || p.Namespace == metav1.NamespaceDefault {
		return out, err
	}
	master, err := s.lister.Services(metav1.NamespaceDefault).List(labels.Everything())
	return append(out, master...), err
}

// runtimeHandler resolves a pod's RuntimeClass.
func (a *Agent) runtimeHandler(ctx context.Context, p *v1.Pod) (string, error) {
	name := p.Spec.RuntimeClassName
	if name == nil || *name == "" {
		return "", nil
	}
	rc, err := a.cfg.Client.NodeV1().RuntimeClasses().Get(ctx, *name, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("failed to get sandbox runtime handler: %w", err)
	}
	return rc.Handler, nil
}

// runtimeFacts asks the container runtime about itself, for the node's status.
func (a *Agent) runtimeFacts(ctx context.Context) register.Runtime {
	out := register.Runtime{Version: a.runtimeVersion()}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	resp, err := a.runtime.Status(ctx, false)
	if err != nil {
		out.Problems = "container runtime is down: " + err.Error()
		return out
	}
	var problems []string
	for _, c := range resp.GetStatus().GetConditions() {
		// Only these two say whether pods can run; a runtime may report others,
		// such as warnings.
		if c.GetStatus() || c.GetType() != runtimeapi.RuntimeReady && c.GetType() != runtimeapi.NetworkReady {
			continue
		}
		what := "container runtime not ready"
		if c.GetType() == runtimeapi.NetworkReady {
			what = "container runtime network not ready"
		}
		problems = append(problems, fmt.Sprintf("%s: %s=false reason:%s message:%s", what, c.GetType(), c.GetReason(), c.GetMessage()))
	}
	if len(problems) > 0 {
		out.Problems = "[" + strings.Join(problems, ", ") + "]"
		if len(problems) == 1 {
			out.Problems = problems[0]
		}
	}
	for _, h := range resp.GetRuntimeHandlers() {
		handler := v1.NodeRuntimeHandler{Name: h.GetName()}
		if f := h.GetFeatures(); f != nil {
			handler.Features = &v1.NodeRuntimeHandlerFeatures{RecursiveReadOnlyMounts: &f.RecursiveReadOnlyMounts, UserNamespaces: &f.UserNamespaces}
		}
		out.Handlers = append(out.Handlers, handler)
	}
	if f := resp.GetFeatures(); f != nil {
		out.Features = &v1.NodeFeatures{SupplementalGroupsPolicy: &f.SupplementalGroupsPolicy}
	}
	out.Images = a.imageFacts(ctx)
	return out
}
