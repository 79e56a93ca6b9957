package cluster

import (
	"cmp"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/utils/clock"

	"proa/apiserver/health"
	"proa/controller"
	"proa/controller/certificates"
	"proa/network/policy"
	"proa/node"
	"proa/node/identity"
)

// The parts that run alone reach the API server by a kubeconfig, whichever
// server that is.

// Alone is how controllers and scheduler run by themselves.
type Alone struct {
	// Kubeconfig is the file that says how to reach the API server.
	Kubeconfig string
	// LeaderElect makes one of several work, and the others wait.
	LeaderElect bool
	// BindAddress and Port of health and metrics. Port 0 serves none.
	BindAddress string
	Port        int
	Log         *slog.Logger
}

// Names of the parts, in their leases, events and user agents.
const (
	controllersName = "kube-controller-manager"
	schedulerName   = "kube-scheduler"
)

// Ports on which the parts tell of themselves, as upstream's.
const (
	ControllersPort = 10257
	SchedulerPort   = 10259
)

// remote reads a kubeconfig, without limits of the client's own: the server
// shares out what there is.
func remote(kubeconfig, agent string) (*rest.Config, kubernetes.Interface, error) {
	c, err := readKubeconfig(kubeconfig)
	if err != nil {
		return nil, nil, err
	}
	c.QPS = -1
	c.UserAgent = agent
	c.WarningHandler = rest.NoWarnings{} // they are for people
	c.ContentType = "application/vnd.kubernetes.protobuf"
	c.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return nil, nil, fmt.Errorf("kubeconfig %s cannot be used; give another with --kubeconfig: %w", kubeconfig, err)
	}
	return c, client, nil
}

// readKubeconfig reads a kubeconfig and the files that it names, so that what
// is wrong with them is known before anything is started.
func readKubeconfig(file string) (*rest.Config, error) {
	bad := func(err error) error {
		return fmt.Errorf("kubeconfig %s cannot be used; repair it, or give another with --kubeconfig: %w", file, err)
	}
	// An empty or missing file would mean the cluster that this process may be
	// a pod of.
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, bad(err)
	}
	if len(data) == 0 {
		return nil, bad(errors.New("it is empty"))
	}
	c, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		return nil, bad(err)
	}
	whole := rest.CopyConfig(c)
	if err := rest.LoadTLSFiles(whole); err != nil {
		return nil, bad(err)
	}
	if _, err := rest.TLSConfigFor(whole); err != nil {
		return nil, bad(err)
	}
	return c, nil
}

// run waits until this process is to work, and lets it, until ctx ends.
func (a *Alone) run(ctx context.Context, name string, c *rest.Config, client kubernetes.Interface, work func(*parts) error) error {
	p := newParts(ctx)
	err := a.start(p, name, c, client, work)
	if err != nil {
		p.fail(err)
	}
	return p.wait()
}

func (a *Alone) start(p *parts, name string, c *rest.Config, client kubernetes.Interface, work func(*parts) error) error {
	metrics := partMetrics()
	checks := []health.Check{health.Ping}
	var e *election
	if a.LeaderElect {
		var err error
		if e, err = newElection(c, client, name, p); err != nil {
			return err
		}
		checks = append(checks, e.healthy)
	}
	if a.Port != 0 {
		end, err := openEndpoint(endpointConfig{address: a.BindAddress, port: a.Port, checks: checks, metrics: metrics, client: client, log: a.Log})
		if err != nil {
			return err
		}
		p.run("health and metrics", end.run)
	}
	if e != nil {
		p.run("leader election", e.run)
		if !e.won(p) {
			return nil
		}
	}
	return work(p)
}

// ControllersAlone are controllers that run by themselves.
type ControllersAlone struct {
	Alone
	// RootCAFile holds what pods verify the API server by. Default: what the
	// kubeconfig verifies it by.
	RootCAFile string
	// SigningCertFile and SigningKeyFile are the authority that signs requests
	// for certificates. Without them nobody does.
	SigningCertFile, SigningKeyFile string
	// ClusterCIDRs are the ranges of all pods, of which nodes are given theirs.
	// Without them nobody gives any.
	ClusterCIDRs []string
	// NodeMonitorGracePeriod is how long a node may be silent before it counts
	// as lost. 0 is upstream's default.
	NodeMonitorGracePeriod time.Duration
}

// Run runs all controllers until ctx ends, each as its own service account.
func (a *ControllersAlone) Run(ctx context.Context) error {
	c, client, err := remote(a.Kubeconfig, controllersName)
	if err != nil {
		return err
	}
	ca, err := a.rootCA(c)
	if err != nil {
		return err
	}
	signer, err := a.signer()
	if err != nil {
		return err
	}
	pods, err := parsePodCIDRs(a.ClusterCIDRs...)
	if err != nil {
		return fmt.Errorf("--cluster-cidr: %w", err)
	}
	return a.run(ctx, controllersName, c, client, func(p *parts) error {
		p.run("controllers", func(ctx context.Context) error {
			clients := remoteClients(c, client, a.Log)
			defer clients.stop()
			m := controller.Manager{Clients: clients, Informers: informers.NewSharedInformerFactory(client, 0), Clock: clock.RealClock{}, Log: a.Log}
			return m.Run(ctx, Controllers(ControllersConfig{CA: ca, Signer: signer, Pods: pods, NodeGracePeriod: a.NodeMonitorGracePeriod}))
		})
		return nil
	})
}

func (a *ControllersAlone) rootCA(c *rest.Config) ([]byte, error) {
	if a.RootCAFile != "" {
		ca, err := os.ReadFile(a.RootCAFile)
		if err != nil {
			return nil, fmt.Errorf("root certificate authority; give another with --root-ca-file: %w", err)
		}
		return ca, nil
	}
	c = rest.CopyConfig(c)
	if err := rest.LoadTLSFiles(c); err != nil {
		return nil, fmt.Errorf("certificate authority of %s: %w", a.Kubeconfig, err)
	}
	return c.CAData, nil
}

// signer is nil where no authority is given.
func (a *ControllersAlone) signer() (certificates.Signer, error) {
	if a.SigningCertFile == "" && a.SigningKeyFile == "" {
		a.Log.Info("requests for certificates are not signed, since no authority is given (--cluster-signing-cert-file, --cluster-signing-key-file)")
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(a.SigningCertFile, a.SigningKeyFile)
	if err != nil {
		return nil, fmt.Errorf("the authority that signs certificates cannot be used; check --cluster-signing-cert-file and --cluster-signing-key-file: %w", err)
	}
	key, ok := pair.PrivateKey.(crypto.Signer)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s is no certificate authority; give one with --cluster-signing-cert-file", a.SigningCertFile)
	}
	return func() (*x509.Certificate, crypto.Signer) { return pair.Leaf, key }, nil
}

// SchedulerAlone is a scheduler that runs by itself.
type SchedulerAlone struct{ Alone }

// Run runs the scheduler until ctx ends.
func (a *SchedulerAlone) Run(ctx context.Context) error {
	c, client, err := remote(a.Kubeconfig, schedulerName)
	if err != nil {
		return err
	}
	return a.run(ctx, schedulerName, c, client, func(p *parts) error {
		return startScheduler(p, client, informers.NewSharedInformerFactory(client, 0), rand.Uint64(), a.Log)
	})
}

// RunKubelet runs a node agent on a container runtime that is there already.
// Client is filled in from the kubeconfig.
func RunKubelet(ctx context.Context, kubeconfig string, c node.Config) error {
	p := newParts(ctx)
	if kubeconfig != "" {
		access, client, err := remote(kubeconfig, "kubelet")
		if err != nil {
			return err
		}
		if c.Client = client; c.Kubelet.RotateCertificates {
			if c.Client, err = keepIdentity(p, cmp.Or(c.Root, node.DefaultRoot), access, client, c.Log); err != nil {
				return err
			}
		}
	}
	agent, err := node.New(c)
	if err != nil {
		p.fail(fmt.Errorf("node agent: %w", err))
	} else {
		p.run("node agent", agent.Run)
	}
	return p.wait()
}

// keepIdentity renews the client certificate of a node as one of the parts, and
// returns a client that uses the newest. Where access is by something else, it is
// for those to renew who gave it, and the client stays as it is.
func keepIdentity(p *parts, root string, access *rest.Config, client kubernetes.Interface, log *slog.Logger) (kubernetes.Interface, error) {
	who, err := identity.Open(identity.Config{Access: access, Dir: filepath.Join(root, "pki")})
	if errors.Is(err, identity.ErrNotANode) {
		log.Info("this node does not renew its access to the API server", "reason", err)
		return client, nil
	}
	if err != nil {
		return nil, err
	}
	p.run("client certificate", who.Run)
	return kubernetes.NewForConfig(who.Access())
}

// RunAgent runs a node with the embedded runtime that belongs to the cluster of
// the kubeconfig. It reports the steps of its start to notify.
func RunAgent(ctx context.Context, c *Config, kubeconfig string, notify *Notifier, log *slog.Logger) error {
	// Before anything is started.
	access, client, err := remote(kubeconfig, "kubelet")
	if err != nil {
		return err
	}
	network := client
	if c.Network.Kubeconfig != "" {
		if _, network, err = remote(c.Network.Kubeconfig, "kube-proxy"); err != nil {
			return err
		}
	}
	lock, err := AcquireLock(c)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := preflight(c, role{node: true}, thisMachine()); err != nil {
		return err
	}
	p := newParts(ctx)
	if client, err = keepIdentity(p, c.Node.Root, access, client, log); err != nil {
		return err
	}
	s := &server{config: c, notify: notify, log: log, clock: clock.RealClock{}, parts: p}
	if err := s.runAgent(p.context(), access, client, network); err != nil {
		p.fail(err)
	}
	return p.wait()
}

// runAgent brings a node up. client is its agent's; network may list all nodes.
func (s *server) runAgent(ctx context.Context, access *rest.Config, client, network kubernetes.Interface) error {
	var err error
	if s.address, err = nodeAddress(s.config); err != nil {
		return err
	}
	authority, err := s.writeClientAuthority(access)
	if err != nil {
		return err
	}
	if err := s.bringUpRuntime(ctx); err != nil {
		return fmt.Errorf("container runtime: %w", err)
	}
	if err := s.startServices(network, informers.NewSharedInformerFactory(network, 0)); err != nil {
		return err
	}
	var isolate isolation
	shared := informers.NewSharedInformerFactory(network, 0)
	if s.config.Network.Kubeconfig == "" {
		// As a node it may see itself only: there are no routes to others then.
		shared = informers.NewSharedInformerFactoryWithOptions(network, 0, informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.FieldSelector = fields.OneTermEqualSelector(metav1.ObjectNameField, s.config.Node.Name).String()
		}))
	}
	if s.config.Network.Kubeconfig != "" {
		isolate, err = s.startPolicies(ctx, informers.NewSharedInformerFactoryWithOptions(network, 0, informers.WithTransform(policy.Trim)))
		if err != nil {
			return err
		}
	} else if s.config.Network.Policy != "none" {
		s.log.Warn("network policies are not enforced on this node, since it may not read them; give it a second identity with --network-kubeconfig")
	}
	if err := s.startPodNetwork(shared); err != nil {
		return fmt.Errorf("pod network: %w", err)
	}
	k := kubeletConfiguration(s.config, s.address.String())
	// The cluster's signers give the serving certificate.
	k.ServerTLSBootstrap = true
	k.Authentication.X509.ClientCAFile = authority
	agent, err := s.startAgent(node.Config{
		NodeName: s.config.Node.Name, NodeIPs: []string{s.address.String()}, NodeLabels: s.config.Node.Labels,
		Root: s.config.Node.Root, ContainerLogs: "-", Client: client, Log: s.log, Kubelet: k,
		PushSocket: s.config.Node.PushSocket, Isolate: isolate,
	})
	if err != nil {
		return err
	}
	select {
	case <-agent.NodeReady():
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s.notify.Reached(StepReady, "")
	settle(s.parts, s.clock, s.log)
	return nil
}

// writeClientAuthority keeps what the kubeconfig verifies the API server by,
// for the agent to verify the API server's requests by, and returns the file. A
// cluster of Proa has one authority for both.
func (s *server) writeClientAuthority(access *rest.Config) (string, error) {
	c := rest.CopyConfig(access)
	if err := rest.LoadTLSFiles(c); err != nil {
		return "", fmt.Errorf("certificate authority of the cluster: %w", err)
	}
	if len(c.CAData) == 0 {
		return "", errors.New("the kubeconfig names no certificate authority; without one the node cannot tell the API server from others")
	}
	file := filepath.Join(s.config.Node.Root, "pki", "client-ca.crt")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("make the folder of certificates: %w", err)
	}
	if err := os.WriteFile(file, c.CAData, 0o600); err != nil {
		return "", fmt.Errorf("write the certificate authority of the cluster: %w", err)
	}
	return file, nil
}
