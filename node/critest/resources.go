package critest

import (
	"context"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// UpdateContainerResources implements CRI.
func (r *Runtime) UpdateContainerResources(ctx context.Context, id string, to *runtimeapi.ContainerResources) error {
	l := to.GetLinux()
	call := fmt.Sprintf("UpdateContainerResources %s shares=%d quota=%d memory=%d", r.containerName(id), l.GetCpuShares(), l.GetCpuQuota(), l.GetMemoryLimitInBytes())
	if err := r.enter(ctx, call); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[id]
	if c == nil {
		return notFound("container", id)
	}
	if c.state != runtimeapi.ContainerState_CONTAINER_RUNNING && c.state != runtimeapi.ContainerState_CONTAINER_CREATED {
		return status.Errorf(codes.FailedPrecondition, "container %q is not running", id)
	}
	c.resources = l
	return nil
}

// Use sets how much memory the containers of an image are said to use, in bytes.
func (r *Runtime) Use(image string, bytes uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used[image] = bytes
}

// ContainerStats implements CRI.
func (r *Runtime) ContainerStats(_ context.Context, id string) (*runtimeapi.ContainerStats, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[id]
	if c == nil {
		return nil, notFound("container", id)
	}
	return &runtimeapi.ContainerStats{Memory: &runtimeapi.MemoryUsage{UsageBytes: &runtimeapi.UInt64Value{Value: r.used[c.config.GetImage().GetImage()]}}}, nil
}
