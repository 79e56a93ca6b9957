// Package volume puts a pod's volumes on disk, keeps them fresh and takes them
// away again.
package volume

import (
	"context"
	"log/slog"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"

	"proa/node/cri"
	"proa/node/volume/objects"
)

// Config configures a Manager.
type Config struct {
	// Root is the agent's directory (/var/lib/kubelet).
	Root string
	// NodeName is used to check local volumes' node affinity.
	NodeName string
	// Client resolves claims and requests tokens; nil on an agent without an
	// API server, where pods that need it fail with a message.
	Client kubernetes.Interface
	// Objects caches ConfigMaps and Secrets; nil without an API server.
	Objects *objects.Cache
	// Allocatable answers resourceFieldRef of containers without limits.
	Allocatable corev1.ResourceList
	// Event records an event on a pod.
	Event func(pod *corev1.Pod, eventType, reason, message string)
	Clock clock.WithTicker
	Log   *slog.Logger
}

// Manager sets up and tears down the volumes of the node's pods. Safe for
// concurrent use; calls for one pod are serialised by it.
type Manager struct{ cfg Config }

// New makes a Manager. Nothing runs before Run.
func New(cfg Config) (*Manager, error) { return &Manager{cfg: cfg}, nil }

// Run refreshes volumes as their sources change, until ctx ends.
func (m *Manager) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Setup makes every volume of the pod present and returns where, by volume
// name. Idempotent: call it on every sync of the pod (it is cheap when nothing
// changed), also with a newer version of the pod (labels and annotations for
// the downward API). The error names the volumes that failed and why, and has
// been recorded as a FailedMount event.
func (m *Manager) Setup(ctx context.Context, pod *corev1.Pod) (map[string]cri.Volume, error) {
	return nil, nil
}

// TearDown unmounts and removes the pod's volumes and then its directory. The
// pod's containers must have ended. Idempotent.
func (m *Manager) TearDown(ctx context.Context, uid types.UID) error { return nil }

// Orphans lists the pods that have a directory on disk; after a restart the
// agent tears down those it does not know.
func (m *Manager) Orphans(known func(types.UID) bool) ([]types.UID, error) { return nil, nil }
