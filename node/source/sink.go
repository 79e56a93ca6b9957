package source

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Sink receives pods. Its methods are called from the sources' goroutines and
// must not block. Pods are shared: nobody changes them.
type Sink interface {
	Set(p *v1.Pod)
	Remove(uid types.UID)
	// Synced says, once, that the source has named all pods it knew at first.
	Synced()
}

// Values of the annotation that names a pod's source.
const (
	FromFile = "file"
	FromURL  = "http"
	FromPush = "push"
)
