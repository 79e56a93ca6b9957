// Package cri connects to a container runtime over the Container Runtime
// Interface, v1: the embedded one or any other, over its socket.
//
// [Connect] gives the two services as the interfaces of k8s.io/cri-api, backed
// by k8s.io/cri-client. [Watch] is the runtime's event stream made dependable: it
// reconnects, and says when events may have been missed, so that its user lists
// once at such moments and polls never.
package cri
