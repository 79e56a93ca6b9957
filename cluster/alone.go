package cluster

import (
	"context"
	"fmt"
	"log/slog"

	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"

	"proa/controller"
	"proa/node"
)

// The parts that run alone reach the API server by a kubeconfig, whichever
// server that is.

// remote reads a kubeconfig, without limits of the client's own: the server
// shares out what there is.
func remote(kubeconfig, agent string) (*rest.Config, kubernetes.Interface, error) {
	c, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig %s cannot be used; give another with --kubeconfig: %w", kubeconfig, err)
	}
	c.QPS = -1
	c.UserAgent = agent
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, nil, err
	}
	return c, client, nil
}

// RunControllers runs all controllers until ctx ends. rootCA is the PEM bundle
// that pods verify the API server by; that of the kubeconfig where it is nil.
func RunControllers(ctx context.Context, kubeconfig string, rootCA []byte, log *slog.Logger) error {
	c, client, err := remote(kubeconfig, "kube-controller-manager")
	if err != nil {
		return err
	}
	if rootCA == nil {
		if err := rest.LoadTLSFiles(c); err != nil {
			return fmt.Errorf("certificate authority of %s: %w", kubeconfig, err)
		}
		rootCA = c.CAData
	}
	clients := remoteClients(c, log)
	defer clients.stop()
	m := controller.Manager{Clients: clients, Informers: informers.NewSharedInformerFactory(client, 0), Clock: clock.RealClock{}, Log: log}
	return m.Run(ctx, Controllers(rootCA))
}

// RunScheduler runs a scheduler until ctx ends.
func RunScheduler(ctx context.Context, kubeconfig string, log *slog.Logger) error {
	_, client, err := remote(kubeconfig, "kube-scheduler")
	if err != nil {
		return err
	}
	p := newParts(ctx)
	if err := startScheduler(p, client, informers.NewSharedInformerFactory(client, 0), log); err != nil {
		p.fail(err)
	}
	return p.wait()
}

// RunKubelet runs a node agent on a container runtime that is there already.
// Client is filled in from the kubeconfig.
func RunKubelet(ctx context.Context, kubeconfig string, c node.Config) error {
	if kubeconfig != "" {
		_, client, err := remote(kubeconfig, "kubelet")
		if err != nil {
			return err
		}
		c.Client = client
	}
	agent, err := node.New(c)
	if err != nil {
		return fmt.Errorf("node agent: %w", err)
	}
	return agent.Run(ctx)
}

// RunAgent runs a node with the embedded runtime that belongs to the cluster of
// the kubeconfig.
func RunAgent(ctx context.Context, c *Config, kubeconfig string, log *slog.Logger) error {
	lock, err := AcquireLock(c)
	if err != nil {
		return err
	}
	defer lock.Release()
	_, client, err := remote(kubeconfig, "kubelet")
	if err != nil {
		return err
	}
	p := newParts(ctx)
	s := &server{config: c, log: log, parts: p}
	if err := s.runAgent(p.context(), client); err != nil {
		p.fail(err)
	}
	return p.wait()
}

func (s *server) runAgent(ctx context.Context, client kubernetes.Interface) error {
	var err error
	if s.address, err = nodeAddress(s.config); err != nil {
		return err
	}
	if err := s.bringUpRuntime(ctx); err != nil {
		return fmt.Errorf("container runtime: %w", err)
	}
	k := kubeletConfiguration(s.config, s.address.String())
	// The cluster's signers give the serving certificate.
	k.ServerTLSBootstrap = true
	return s.startAgent(node.Config{
		NodeName: s.config.Node.Name, NodeIPs: []string{s.address.String()}, NodeLabels: s.config.Node.Labels,
		Root: s.config.Node.Root, ContainerLogs: "-", Client: client, Log: s.log, Kubelet: k,
	})
}
