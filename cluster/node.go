package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/ptr"

	"proa/auth"
	"proa/cache/informer"
	"proa/images"
	"proa/node"
	"proa/pki"
	"proa/runtime/embedded"
	runtimeimages "proa/runtime/images"
)

// runtimeStarted is the outcome of starting the container runtime.
type runtimeStarted struct{ err error }

// startRuntime starts the embedded runtime with the project's own images, beside
// the control plane.
func (s *server) startRuntime(ctx context.Context) chan runtimeStarted {
	done := make(chan runtimeStarted, 1)
	go func() { done <- runtimeStarted{s.bringUpRuntime(ctx)} }()
	return done
}

func (s *server) bringUpRuntime(ctx context.Context) error {
	c := s.config
	if c.Node.RuntimeEndpoint != "" {
		return nil
	}
	r, err := embedded.Start(ctx, embedded.Config{
		Root: c.ContainerdRoot(), State: c.ContainerdState(), Socket: c.ContainerdSocket(),
		BinDir: BinDir(), CNIConfDir: c.Network.CNIConfDir, SandboxImage: images.Pause, RegistryConfigPath: c.Node.RegistryDir, Logger: s.log,
	})
	if err != nil {
		return err
	}
	s.parts.run("container runtime", func(ctx context.Context) error {
		defer r.Stop()
		select {
		case <-ctx.Done():
			return nil
		case <-r.Failed():
			return r.Err()
		}
	})
	if err := r.WaitReady(ctx); err != nil {
		return err
	}
	if err := importOwnImages(ctx, c, s.log); err != nil {
		return err
	}
	s.notify.Reached(StepRuntime, c.RuntimeEndpoint())
	return nil
}

// importOwnImages brings the project's images into the runtime. Without the
// example's the node still runs.
func importOwnImages(ctx context.Context, c *Config, log *slog.Logger) error {
	archives, err := images.Build(ctx, images.Options{BinDir: BinDir(), CacheDir: filepath.Join(c.DataDir, "images")})
	if err != nil {
		return err
	}
	st, err := runtimeimages.Connect(c.RuntimeEndpoint())
	if err != nil {
		return err
	}
	defer st.Close()
	for _, a := range archives {
		if _, err := st.Ensure(ctx, a.Path); err != nil {
			if a.Name == images.Pause {
				return err
			}
			log.Warn("an image of the examples could not be imported", "image", a.Name, "err", err)
		}
	}
	return nil
}

// startNode runs the node agent and waits until its node is ready.
func (s *server) startNode(ctx context.Context, runtime chan runtimeStarted) error {
	c := s.config
	network, err := s.client(networkUser(), "kube-proxy")
	if err != nil {
		return err
	}
	if err := s.startPodNetwork(informer.NewFactory(network, s.api.hub, s.api.table, 0)); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	select {
	case r := <-runtime:
		if r.err != nil {
			return fmt.Errorf("container runtime: %w", r.err)
		}
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	client, err := s.client(&auth.User{Name: auth.NodePrefix + c.Node.Name, Groups: []string{auth.GroupNodes, auth.GroupAuthenticated}}, "kubelet")
	if err != nil {
		return err
	}
	if err := s.startServices(informer.NewFactory(network, s.api.hub, s.api.table, 0)); err != nil {
		return err
	}
	serving, err := s.authority.Leaf(pki.NodeServer(c.Node.Name, s.address.String(), "127.0.0.1", "localhost"))
	if err != nil {
		return fmt.Errorf("serving certificate of the node: %w", err)
	}
	tlsConfig := s.authority.ServerTLS(serving)
	tlsConfig.ClientCAs = s.authority.Roots()
	agent, err := s.startAgent(node.Config{
		NodeName: c.Node.Name, NodeIPs: []string{s.address.String()}, NodeLabels: c.Node.Labels, Root: c.Node.Root,
		ContainerLogs: "-", Client: client, TLS: tlsConfig, Log: s.log,
		Kubelet: kubeletConfiguration(c, s.address.String()),
	})
	if err != nil {
		return err
	}
	select {
	case <-agent.NodeReady():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.notify.Reached(StepNode, c.Node.Name)
	return nil
}

func (s *server) startAgent(c node.Config) (*node.Agent, error) {
	// It must be there to be watched.
	if err := os.MkdirAll(c.Kubelet.StaticPodPath, 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of static pods: %w", err)
	}
	agent, err := node.New(c)
	if err != nil {
		return nil, fmt.Errorf("node agent: %w", err)
	}
	s.parts.run("node agent", agent.Run)
	return agent, nil
}

// kubeletConfiguration is the node's part of the configuration in upstream's
// form, which is the one form that the agent takes.
func kubeletConfiguration(c *Config, address string) kubeletconfig.KubeletConfiguration {
	return kubeletconfig.KubeletConfiguration{
		ContainerRuntimeEndpoint: c.RuntimeEndpoint(),
		Address:                  address,
		Port:                     int32(*c.Node.Port),
		StaticPodPath:            c.Node.StaticPodDir,
		PodLogsDir:               c.Node.LogDir,
		ClusterDNS:               []string{c.Network.ClusterDNS},
		ClusterDomain:            c.Network.ClusterDomain,
		CgroupRoot:               c.Node.CgroupRoot,
		MaxPods:                  c.Node.MaxPods,
		HealthzBindAddress:       "127.0.0.1",
		HealthzPort:              ptr.To(int32(*c.Node.HealthPort)),
		NodeLeaseDurationSeconds: c.leaseSeconds(),
	}
}
