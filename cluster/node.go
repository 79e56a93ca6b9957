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
	if err := s.startServices(network, informer.NewFactory(network, s.api.hub, s.api.table, 0)); err != nil {
		return err
	}
	if err := s.startIngress(client); err != nil {
		return fmt.Errorf("ingress: %w", err)
	}
	isolate, err := s.startPolicies(ctx, informer.NewFactory(network, s.api.hub, s.api.table, 0))
	if err != nil {
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
		Kubelet: kubeletConfiguration(c, s.address.String()), PushSocket: c.Node.PushSocket, Isolate: isolate,
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
	k := *c.Node.Kubelet.DeepCopy()
	k.ContainerRuntimeEndpoint = c.RuntimeEndpoint()
	k.Address, k.Port = address, int32(*c.Node.Port)
	k.StaticPodPath, k.PodLogsDir = c.Node.StaticPodDir, c.Node.LogDir
	k.ClusterDNS, k.ClusterDomain = []string{c.Network.ClusterDNS}, c.Network.ClusterDomain
	k.CgroupRoot, k.MaxPods = c.Node.CgroupRoot, c.Node.MaxPods
	k.HealthzBindAddress, k.HealthzPort = "127.0.0.1", ptr.To(int32(*c.Node.HealthPort))
	k.NodeLeaseDurationSeconds = c.leaseSeconds()
	return k
}

// overridden are the fields of the agent's settings that kubeletConfiguration
// decides and yet are set, each with the setting to be used instead.
func (n *Node) overridden() map[string]string {
	k := &n.Kubelet
	out := map[string]string{}
	for _, f := range []struct {
		field, instead string
		set            bool
	}{
		{"containerRuntimeEndpoint", "node.runtimeEndpoint", k.ContainerRuntimeEndpoint != ""},
		{"address", "node.address", k.Address != ""},
		{"port", "node.port", k.Port != 0},
		{"staticPodPath", "node.staticPodDir", k.StaticPodPath != ""},
		{"podLogsDir", "node.logDir", k.PodLogsDir != ""},
		{"clusterDNS", "network.clusterDNS", len(k.ClusterDNS) > 0},
		{"clusterDomain", "network.clusterDomain", k.ClusterDomain != ""},
		{"cgroupRoot", "node.cgroupRoot", k.CgroupRoot != ""},
		{"maxPods", "node.maxPods", k.MaxPods != 0},
		{"healthzPort", "node.healthPort", k.HealthzPort != nil},
		{"nodeLeaseDurationSeconds", "controllers.nodeMonitorGracePeriod", k.NodeLeaseDurationSeconds != 0},
	} {
		if f.set {
			out[f.field] = f.instead
		}
	}
	return out
}
