package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// inRuntime waits until the container runtime runs what the API's pods say,
// and nothing else: no sandbox or container without a pod, and no interface
// without a sandbox.
func inRuntime(u *user) {
	u.t.Helper()
	conn, err := grpc.NewClient("unix://"+filepath.Join(u.dir, "d", "run", "containerd", "containerd.sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		u.t.Fatal(err)
	}
	defer conn.Close()
	eventually(u.t, func() string {
		ctx, cancel := context.WithTimeout(u.t.Context(), patience)
		defer cancel()
		difference, err := compareRuntime(ctx, u, runtimeapi.NewRuntimeServiceClient(conn))
		if err != nil {
			return err.Error()
		}
		return difference
	})
}

// compareRuntime returns how the two differ.
func compareRuntime(ctx context.Context, u *user, cri runtimeapi.RuntimeServiceClient) (string, error) {
	pods, err := u.api.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	var wantPods, wantContainers, isPods, isContainers []string
	for i := range pods.Items {
		p := &pods.Items[i]
		wantPods = append(wantPods, string(p.UID))
		for _, s := range p.Status.ContainerStatuses {
			_, id, _ := strings.Cut(s.ContainerID, "://")
			wantContainers = append(wantContainers, id)
		}
	}
	sandboxes, err := cri.ListPodSandbox(ctx, &runtimeapi.ListPodSandboxRequest{})
	if err != nil {
		return "", err
	}
	for _, s := range sandboxes.Items {
		isPods = append(isPods, s.Metadata.Uid)
	}
	containers, err := cri.ListContainers(ctx, &runtimeapi.ListContainersRequest{Filter: &runtimeapi.ContainerFilter{
		State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING},
	}})
	if err != nil {
		return "", err
	}
	for _, c := range containers.Containers {
		isContainers = append(isContainers, c.Id)
	}
	links, err := exec.CommandContext(ctx, "ip", "-n", u.netns, "-o", "link", "show", "master", "pe0").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, links)
	}
	for _, l := range [][]string{wantPods, wantContainers, isPods, isContainers} {
		slices.Sort(l)
	}
	switch n := strings.Count(string(links), "\n"); {
	case !slices.Equal(wantPods, isPods):
		return fmt.Sprintf("sandboxes of %v, pods %v", isPods, wantPods), nil
	case !slices.Equal(wantContainers, isContainers):
		return fmt.Sprintf("containers %v, in the API %v", isContainers, wantContainers), nil
	case n != len(isPods):
		return fmt.Sprintf("%d interfaces of %d sandboxes:\n%s", n, len(isPods), links), nil
	}
	return "", nil
}
