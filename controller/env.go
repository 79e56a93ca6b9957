package controller

import (
	"context"
	"log/slog"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"
)

// Env is all that a controller may touch. Clients speak under the controller's
// own service account, so RBAC, admission and audit hold for it as for anybody.
type Env struct {
	Client kubernetes.Interface
	// Metadata and Discovery serve controllers that work on every resource.
	Metadata  metadata.Interface
	Discovery discovery.DiscoveryInterface
	Mapper    meta.RESTMapper
	// Informers is shared by all controllers of the process.
	Informers informers.SharedInformerFactory
	Events    record.EventRecorder
	Clock     clock.WithTicker
	Log       *slog.Logger
}

// Controller is a control loop made from an Env.
type Controller interface {
	// Run works until ctx ends, and returns when all its goroutines have.
	Run(ctx context.Context) error
}

// Definition is one line of the list of controllers that a manager runs.
type Definition struct {
	// Name is upstream's name of the controller, as in --controllers.
	Name string
	// ServiceAccount in kube-system under which it speaks.
	ServiceAccount string
	New            func(Env) (Controller, error)
}
