package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"

	"proa/apiserver/local"
	"proa/auth"
	"proa/cache/encryption"
	"proa/cache/informer"
	"proa/controller"
	"proa/pki"
	"proa/scheduler"
	"proa/store"
	"proa/store/etcd"
)

// RunServer runs a control plane, and a node unless that is disabled, until
// ctx ends. It reports the steps of its start to notify.
//
// Where the machine is divided into nodes, it goes on as the same process on the
// first of them, and is called there again, with outer as the API server's port
// on the machine itself.
func RunServer(ctx context.Context, c *Config, outer net.Listener, notify *Notifier, log *slog.Logger) error {
	s := &server{config: c, notify: notify, log: log, clock: clock.RealClock{}}
	switch {
	case outer != nil:
		own, err := onFirstNode(c, outer)
		if err != nil {
			return err
		}
		s.config, s.cluster, s.outer = own, c, outer
	case hasFleet(c):
		return enterFirstNode(ctx, c, notify)
	}
	return runServer(ctx, s)
}

// RunAPIServer runs an API server alone, over an embedded or an external etcd,
// until ctx ends. It reports the steps of its start to notify, which may be nil.
func RunAPIServer(ctx context.Context, c *Config, notify *Notifier, log *slog.Logger) error {
	return runServer(ctx, &server{config: c, notify: notify, log: log, clock: clock.RealClock{}, apiOnly: true})
}

func runServer(ctx context.Context, s *server) error {
	c := s.config
	lock, err := AcquireLock(c)
	if err != nil {
		return err
	}
	defer lock.Release()
	if err := preflight(c, role{api: true, node: !s.apiOnly && !c.Node.Disabled}, thisMachine()); err != nil {
		return err
	}
	p := newParts(ctx)
	s.parts = p
	if err := s.start(p.context()); err != nil {
		p.fail(err)
	}
	return p.wait()
}

// server is the process while it is composed.
type server struct {
	config *Config
	notify *Notifier
	log    *slog.Logger
	parts  *parts
	// cluster and outer are set on the first node of a machine that is divided
	// into nodes: the configuration of the whole, and the API server's port there.
	cluster *Config
	outer   net.Listener
	// apiOnly leaves out controllers, scheduler and node.
	apiOnly bool

	authority *pki.Authority
	store     store.Store
	// encryption of the store's values.
	encryption *encryption.Encryption
	clock      clock.WithTicker
	address    netip.Addr // of this machine
	api        *api
}

// start brings everything up in the order in which one stands on another; what
// is independent (the container runtime, which takes longest) goes alongside.
func (s *server) start(ctx context.Context) error {
	if err := os.MkdirAll(s.config.RunDir, 0o755); err != nil {
		return fmt.Errorf("make the run directory: %w", err)
	}
	var err error
	if s.address, err = nodeAddress(s.config); err != nil {
		return err
	}
	var runtime chan runtimeStarted
	if !s.apiOnly && !s.config.Node.Disabled {
		runtime = s.startRuntime(ctx)
	}
	listener, err := listen(s.config)
	if err != nil {
		return err
	}
	if err := s.startStore(ctx); err != nil {
		listener.Close()
		return err
	}
	if err := s.startAPI(ctx, listener); err != nil {
		return err
	}
	if s.apiOnly {
		s.notify.Reached(StepReady, "")
		settle(s.parts, s.clock, s.log)
		return nil
	}
	pods, err := podCIDRs(s.config)
	if err != nil {
		return err
	}
	s.startControllers(ControllersConfig{
		Pods: pods, NodeGracePeriod: s.config.Controllers.NodeMonitorGracePeriod.Duration,
		BalanceByNodes: s.config.Network.LoadBalancer == "nodes", APIPort: int32(s.api.address.Port()),
	})
	if err := s.startScheduler(rand.Uint64()); err != nil {
		return err
	}
	if err := s.startHollow(); err != nil {
		return err
	}
	nodes, starting := errgroup.WithContext(ctx)
	if !s.config.Node.Disabled {
		nodes.Go(func() error { return s.startNode(starting, runtime) })
	}
	if s.cluster != nil {
		nodes.Go(func() error { return s.startOthers(starting) })
	}
	if err := nodes.Wait(); err != nil {
		return err
	}
	if s.cluster != nil {
		s.shareImages(ctx)
	}
	s.notify.Reached(StepReady, "")
	settle(s.parts, s.clock, s.log)
	return nil
}

// startStore opens the PKI and the store, with what encrypts it.
func (s *server) startStore(ctx context.Context) error {
	c := s.config
	var err error
	pkiReady := make(chan error, 1)
	go func() {
		var err error
		s.authority, err = pki.Open(c.PKIDir(), clock.RealClock{})
		pkiReady <- err
	}()
	s.encryption, err = openEncryption(ctx, c, s.clock, s.log)
	if err != nil {
		<-pkiReady
		return err
	}
	st, err := etcd.Open(ctx, etcd.Options{
		Dir: c.EtcdDir(), Servers: c.Etcd.Servers, CAFile: c.Etcd.CAFile, CertFile: c.Etcd.CertFile, KeyFile: c.Etcd.KeyFile, Log: s.log,
	})
	if perr := <-pkiReady; perr != nil {
		return fmt.Errorf("certificates in %s: %w", c.PKIDir(), perr)
	}
	if err != nil {
		return fmt.Errorf("open the store: %w", err)
	}
	s.store = st
	s.parts.run("store", func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return st.Close()
		case <-st.Failed():
			return st.Err()
		}
	})
	s.parts.run("encryption", func(ctx context.Context) error { <-ctx.Done(); s.encryption.Close(); return nil })
	s.parts.run("certificates", func(ctx context.Context) error { s.authority.Run(ctx); return nil })
	s.notify.Reached(StepStore, "")
	return nil
}

// startAPI starts the API server and makes what every cluster has.
func (s *server) startAPI(ctx context.Context, listener net.Listener) error {
	c := s.config
	services, err := netip.ParsePrefix(c.Network.ServiceCIDR)
	if err != nil {
		return fmt.Errorf("network.serviceCIDR: %w", err)
	}
	serviceIP := services.Masked().Addr().Next().String()
	names := append([]string{c.Node.Name, s.address.String()}, c.API.Names...)
	if c.API.AdvertiseAddress != "" {
		names = append(names, c.API.AdvertiseAddress)
	}
	bootstrap := newBootstrapping()
	if s.api, err = startAPI(ctx, s.parts, apiConfig{
		profiling: *c.API.Profiling, audit: c.API.Audit, authentication: c.API.Authentication.options(), authorization: c.API.Authorization.options(),
		store: s.store, encryption: s.encryption, authority: s.authority, listener: listener, outer: s.outer, names: names,
		serviceIP: serviceIP, services: services, bootstrap: bootstrap, clock: s.clock, log: s.log,
	}); err != nil {
		return err
	}
	admin, err := s.client(apiserverUser(), "proa")
	if err != nil {
		return err
	}
	if err := bootstrap.ensure(ctx, s.parts, s.api, admin, s.authority); err != nil {
		return err
	}
	door := s.address
	if c.API.AdvertiseAddress != "" {
		if door, err = netip.ParseAddr(c.API.AdvertiseAddress); err != nil {
			return fmt.Errorf("api.advertiseAddress: %w", err)
		}
	}
	insist(ctx, s.parts, s.log, "the API server as a service", func(ctx context.Context) error {
		return ensureDoor(ctx, admin, serviceIP, netip.AddrPortFrom(door, s.api.address.Port()))
	})
	insist(ctx, s.parts, s.log, "the cluster's DNS as a service", func(ctx context.Context) error {
		return ensureDNS(ctx, admin, c.Network.ClusterDNS)
	})
	insist(ctx, s.parts, s.log, "the configuration of the cluster's DNS", func(ctx context.Context) error {
		return ensureCorefile(ctx, admin, c.Network.ClusterDomain)
	})
	insist(ctx, s.parts, s.log, "the class of Ingresses", func(ctx context.Context) error {
		return ensureIngressClass(ctx, admin, c.Network.Ingress.Mode)
	})
	if err := s.writeKubeconfigs(); err != nil {
		return err
	}
	s.notify.Reached(StepAPI, s.url())
	return nil
}

func (s *server) client(u *auth.User, agent string) (kubernetes.Interface, error) {
	return local.Clients(s.api.server.Handler(), u, agent)
}

// url by which this machine reaches the API server.
func (s *server) url() string {
	host := s.api.address.Addr()
	if host.IsUnspecified() {
		host = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return "https://" + net.JoinHostPort(host.String(), strconv.Itoa(int(s.api.address.Port())))
}

// startControllers runs the controllers as c says, with the authority of the server.
func (s *server) startControllers(c ControllersConfig) {
	c.CA, c.Signer = s.authority.CA(), s.authority.Signer
	clients := localClients(s.api.server.Handler(), s.log)
	s.parts.run("controllers", func(ctx context.Context) error {
		defer clients.stop()
		shared, err := s.client(&auth.User{Name: "system:kube-controller-manager", Groups: []string{auth.GroupAuthenticated}}, "informers")
		if err != nil {
			return err
		}
		m := controller.Manager{
			Clients: clients, Informers: informer.NewFactory(shared, s.api.hub, s.api.table, 0), Clock: s.clock, Log: s.log,
		}
		return m.Run(ctx, Controllers(c))
	})
}

func (s *server) startScheduler(seed uint64) error {
	client, shared, err := s.schedulerClients()
	if err != nil {
		return err
	}
	return startScheduler(s.parts, client, shared, seed, s.log)
}

func (s *server) schedulerClients() (kubernetes.Interface, informers.SharedInformerFactory, error) {
	client, err := s.client(&auth.User{Name: "system:kube-scheduler", Groups: []string{auth.GroupAuthenticated}}, "kube-scheduler")
	if err != nil {
		return nil, nil, err
	}
	return client, informer.NewFactory(client, s.api.hub, s.api.table, 0), nil
}

// startScheduler runs a scheduler over a clientset, with its events.
func startScheduler(p *parts, client kubernetes.Interface, shared informers.SharedInformerFactory, seed uint64, log *slog.Logger) error {
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	p.run("events of the scheduler", func(ctx context.Context) error {
		if err := broadcaster.StartRecordingToSinkWithContext(ctx); err != nil {
			return err
		}
		defer broadcaster.Shutdown()
		<-ctx.Done()
		return nil
	})
	return runScheduler(p, scheduler.Config{
		Client: client, Informers: shared, Log: log, Seed: seed,
		Events: broadcaster.NewRecorder(scheme.Scheme, scheduler.DefaultName),
	})
}

// runScheduler runs a scheduler with the informers of its configuration.
func runScheduler(p *parts, c scheduler.Config) error {
	s, err := scheduler.New(c)
	if err != nil {
		return err
	}
	p.run("scheduler", func(ctx context.Context) error {
		c.Informers.Start(ctx.Done())
		defer c.Informers.Shutdown()
		return s.Run(ctx)
	})
	return nil
}
