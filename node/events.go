package node

import (
	"context"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/record"
)

// events records what happens to pods and to the node, where the API server can
// be reached; recording never blocks and never fails the caller.
type events struct {
	recorder    record.EventRecorder
	broadcaster record.EventBroadcaster
	node        v1.ObjectReference
	once        sync.Once
}

// newEvents returns a recorder that writes through the client; with a nil client
// events are dropped.
func newEvents(ctx context.Context, client kubernetes.Interface, nodeName string) *events {
	e := &events{node: v1.ObjectReference{Kind: "Node", Name: nodeName, UID: types.UID(nodeName)}}
	if client == nil {
		return e
	}
	e.broadcaster = record.NewBroadcaster(record.WithContext(ctx))
	e.broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	e.recorder = e.broadcaster.NewRecorder(scheme.Scheme, v1.EventSource{Component: "kubelet", Host: nodeName})
	return e
}

// stop ends the recording.
func (e *events) stop() {
	if e.broadcaster != nil {
		e.once.Do(e.broadcaster.Shutdown)
	}
}

// pod records an event on a pod; fieldPath names the container concerned, or is
// empty.
func (e *events) pod(p *v1.Pod, fieldPath, eventType, reason, message string) {
	if e.recorder == nil || p.Name == "" {
		return
	}
	e.recorder.Event(&v1.ObjectReference{
		Kind: "Pod", APIVersion: "v1",
		Namespace: p.Namespace, Name: p.Name, UID: p.UID, ResourceVersion: p.ResourceVersion,
		FieldPath: fieldPath,
	}, eventType, reason, message)
}

// onNode records an event on the node.
func (e *events) onNode(eventType, reason, message string) {
	if e.recorder != nil {
		e.recorder.Event(&e.node, eventType, reason, message)
	}
}
