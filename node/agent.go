package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	internalapi "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"

	"proa/node/cgroup"
	"proa/node/cri"
	"proa/node/cri/userns"
	"proa/node/evict"
	"proa/node/hook"
	"proa/node/image"
	"proa/node/logs"
	"proa/node/observe"
	"proa/node/pod"
	"proa/node/probe"
	"proa/node/register"
	"proa/node/source"
	"proa/node/status"
	"proa/node/volume"
	"proa/node/volume/objects"
	"proa/node/worker"
	rtcri "proa/runtime/cri"
)

// Agent is one node agent. Make it with New, run it once.
type Agent struct {
	cfg Config
	log *slog.Logger

	// Set by Run, before anything starts.
	runtime   internalapi.RuntimeService
	images    internalapi.ImageManagerService
	version   *runtimeapi.VersionResponse
	machine   register.Machine
	facts     register.Config
	events    *events
	cgroups   *cgroup.Manager
	objects   *objects.Cache
	volumes   *volume.Manager
	puller    *image.Manager
	collector *image.Collector
	rotator   *logs.Rotator
	observer  *observe.Observer
	probes    *probe.Manager
	statuses  *status.Writer
	workers   *worker.Manager
	registrar *register.Registrar
	evictor   *evict.Manager
	metrics   *metrics
	services  *services
	mirrors   *source.Mirrors
	node      nodeView

	// sources counts the sources that have not yet spoken. Until all have, no pod
	// is ended for being unknown.
	sources atomic.Int32
	ready   chan struct{}
	// nodeReady is closed by the registrar.
	nodeReady chan struct{}
	once      sync.Once
	relist    chan struct{}
	// listed is when the runtime was last listed, in nanoseconds.
	listed atomic.Int64
}

// New checks the configuration and returns an agent. Nothing runs before Run.
func New(cfg Config) (*Agent, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	a := &Agent{
		cfg:   cfg,
		log:   cfg.Log.With("component", "kubelet"),
		ready: make(chan struct{}), nodeReady: make(chan struct{}),
		relist: make(chan struct{}, 1),
	}
	a.sources.Store(1) // the one that has not been made yet; see sourceParts
	return a, nil
}

// Ready is closed once the agent accepts pods.
func (a *Agent) Ready() <-chan struct{} { return a.ready }

// NodeReady is closed once the API server shows the node as ready, by what this
// agent has found and not by what a former one has left there.
func (a *Agent) NodeReady() <-chan struct{} { return a.nodeReady }

// Run runs the agent until ctx ends, and returns why it could not. Containers
// stay.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()

	if err := os.MkdirAll(a.cfg.Root, 0o750); err != nil {
		return fmt.Errorf("make the node root: %w", err)
	}
	if err := a.connect(ctx); err != nil {
		return err
	}
	if err := a.build(ctx); err != nil {
		return err
	}
	defer a.events.stop()
	if err := a.workers.Start(ctx); err != nil {
		return fmt.Errorf("read the container runtime: %w", err)
	}
	defer a.workers.Wait()
	defer a.probes.Wait()
	defer cancel()

	run := func(name string, f func(context.Context) error) {
		wg.Go(func() {
			if err := f(ctx); err != nil && ctx.Err() == nil {
				a.log.Error("a part of the agent ended", "part", name, "error", err)
			}
		})
	}
	run("statuses", func(ctx context.Context) error { a.statuses.Run(ctx); return nil })
	run("volumes", a.volumes.Run)
	run("images", a.collector.Run)
	run("container logs", a.rotator.Run)
	run("runtime events", a.watchRuntime)
	run("relist", a.keepRelisting)
	run("eviction", a.evictor.Run)
	if a.cfg.Client != nil {
		run("node", func(ctx context.Context) error { a.registrar.Run(ctx); return nil })
		run("lease", func(ctx context.Context) error { a.lease(ctx); return nil })
		run("services", func(ctx context.Context) error { a.services.run(ctx); return nil })
	}
	parts, err := a.sourceParts()
	if err != nil {
		return err
	}
	served, err := a.serverParts()
	if err != nil {
		return err
	}
	for _, p := range append(parts, served...) {
		run(p.name, p.run)
	}
	a.once.Do(func() { close(a.ready) })
	a.log.Info("node agent runs", "node", a.cfg.NodeName, "root", a.cfg.Root, "runtime", a.runtimeVersion())
	<-ctx.Done()
	return nil
}

// connect reaches the container runtime.
func (a *Agent) connect(ctx context.Context) error {
	a.runtime, a.images = a.cfg.Runtime, a.cfg.Images
	if a.runtime == nil {
		conn, err := rtcri.Connect(ctx, rtcri.Config{
			Endpoint:      a.cfg.Kubelet.ContainerRuntimeEndpoint,
			ImageEndpoint: a.cfg.Kubelet.ImageServiceEndpoint,
			Timeout:       a.cfg.Kubelet.RuntimeRequestTimeout.Duration,
			Logger:        a.log,
		})
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close(context.WithoutCancel(ctx)) })
		a.runtime, a.images = conn.Runtime, conn.Images
	}
	var err error
	if a.version, err = a.runtime.Version(ctx, "v1"); err != nil {
		return fmt.Errorf("ask the container runtime for its version: %w", err)
	}
	return nil
}

func (a *Agent) runtimeVersion() string {
	return a.version.GetRuntimeName() + "://" + a.version.GetRuntimeVersion()
}

// build makes the parts, in the order in which they need one another.
func (a *Agent) build(ctx context.Context) (err error) {
	k := &a.cfg.Kubelet
	if a.machine, err = register.ReadMachine("/", a.cfg.Root); err != nil {
		return err
	}
	a.facts = register.Config{
		NodeName: a.cfg.NodeName, Labels: a.cfg.NodeLabels, Taints: k.RegisterWithTaints,
		Addresses: a.cfg.addresses(), ProviderID: k.ProviderID,
		MaxPods: int(k.MaxPods), KubeletPort: a.port(), Version: kubeletVersion(),
	}
	capacity, _ := register.Resources(a.machine, a.facts)
	a.facts.Reserved = reserved(k, capacity)
	_, allocatable := register.Resources(a.machine, a.facts)

	a.events = newEvents(ctx, a.cfg.Client, a.cfg.NodeName)
	if a.cgroups, err = cgroup.New(cgroup.Config{
		Root: k.CgroupRoot, Driver: cgroup.Driver(k.CgroupDriver), Allocatable: allocatable, NoCPUQuota: !*k.CPUCFSQuota, Log: a.log,
	}); err != nil {
		return err
	}
	if err := a.cgroups.Start(); err != nil {
		return fmt.Errorf("prepare the pods' cgroups: %w", err)
	}
	if a.cfg.Client != nil {
		a.objects = objects.New(ctx, a.cfg.Client, a.log)
		a.services = newServices(a.cfg.Client)
	}
	if a.volumes, err = volume.New(volume.Config{
		Root: a.cfg.Root, NodeName: a.cfg.NodeName, Client: a.cfg.Client, Objects: a.objects, Allocatable: allocatable,
		Event:      func(p *v1.Pod, t, reason, message string) { a.events.pod(p, "", t, reason, message) },
		Image:      a.volumeImage,
		Changed:    func(uid types.UID) { a.workers.Retry(uid) },
		NodeLabels: func() map[string]string { return a.node.get().Labels },
		Clock:      clock.RealClock{}, Log: a.log,
	}); err != nil {
		return err
	}
	parallel := 1
	if !*k.SerializeImagePulls {
		parallel = 0
		if k.MaxParallelImagePulls != nil {
			parallel = int(*k.MaxParallelImagePulls)
		}
	}
	a.collector = image.NewCollector(image.CollectorConfig{
		Images: a.images, Runtime: a.runtime,
		Present: func(ids map[string]bool) { a.puller.Retain(ids) },
		High:    int(*k.ImageGCHighThresholdPercent), Low: int(*k.ImageGCLowThresholdPercent),
		MinAge: k.ImageMinimumGCAge.Duration, MaxAge: k.ImageMaximumGCAge.Duration,
		Event: a.events.onNode, Log: a.log,
	})
	a.puller = image.New(image.Config{
		Service: a.images, MaxParallel: parallel, Event: a.events.pod, Pulled: a.collector.Pulled,
		NodeConfigs: nodeCredentials(a.cfg.Root),
		Records:     filepath.Join(a.cfg.Root, "image_manager"), Verify: k.ImagePullCredentialsVerificationPolicy, Allowlist: k.PreloadedImagesVerificationAllowlist,
		Log: a.log,
	})
	size, err := resource.ParseQuantity(k.ContainerLogMaxSize)
	if err != nil {
		return err
	}
	a.rotator = logs.NewRotator(logs.RotatorConfig{
		MaxSize: size.Value(), MaxFiles: int(*k.ContainerLogMaxFiles), Interval: k.ContainerLogMonitorInterval.Duration,
		Reopen: a.runtime.ReopenContainerLog, Log: a.log,
	})
	a.observer = observe.New(a.runtime, observe.HostMessages{}, a.log)
	a.statuses = status.NewWriter(a.cfg.Client, a.log)
	a.metrics = newMetrics(a)
	a.probes = probe.NewManager(ctx, probe.Config{
		Count:   a.metrics.count,
		Checker: &probe.Dialer{Exec: a.runtime, Version: shortVersion()},
		Event: func(p *v1.Pod, container, t, reason, message string) {
			a.events.pod(p, image.FieldPath(p, container), t, reason, message)
		},
		Log: a.log,
	})
	a.node.set(a.expectedNode(allocatable))
	if err := a.buildWorkers(capacity, allocatable); err != nil {
		return err
	}
	a.registrar = &register.Registrar{
		Changed: a.nodeChanged, Pressure: a.pressure, Ready: func() { close(a.nodeReady) },
		Client: a.cfg.Client, Config: a.facts, Machine: a.machine, Runtime: a.runtimeFacts,
		Register: *k.RegisterNode, Event: a.events.onNode,
		Check: k.NodeStatusUpdateFrequency.Duration, Report: k.NodeStatusReportFrequency.Duration,
		Log: a.log,
	}
	return a.buildEviction()
}

// port is where the agent's API is found.
func (a *Agent) port() int {
	if a.cfg.Listener != nil {
		if tcp, ok := a.cfg.Listener.Addr().(*net.TCPAddr); ok {
			return tcp.Port
		}
	}
	return int(a.cfg.Kubelet.Port)
}

func (a *Agent) buildWorkers(capacity, allocatable v1.ResourceList) error {
	k := &a.cfg.Kubelet
	host, err := os.ReadFile(*k.ResolverConfig)
	if err != nil {
		a.log.Warn("no resolver configuration for pods to inherit", "path", *k.ResolverConfig, "error", err)
	}
	memory := capacity[v1.ResourceMemory]
	node := &cri.Node{
		Name: a.cfg.NodeName, Hostname: a.cfg.Hostname, IPs: a.cfg.NodeIPs,
		Root: a.cfg.Root, PodLogs: k.PodLogsDir,
		ClusterDomain: k.ClusterDomain, ClusterDNS: k.ClusterDNS, HostDNS: cri.ParseResolvConf(host),
		SeccompDefault: *k.SeccompDefault,
		NoCPUQuota:     !*k.CPUCFSQuota, CPUPeriod: k.CPUCFSQuotaPeriod.Duration,
		MemoryCapacity: memory.Value(), Allocatable: allocatable,
		CgroupV2: a.cgroups.Unified(), HugePageSizes: a.cgroups.HugePageSizes(), SwapController: a.cgroups.Swap(),
	}
	links := a.cfg.ContainerLogs
	if links == "-" {
		links = ""
	} else if err := os.MkdirAll(links, 0o755); err != nil {
		a.log.Warn("no links to container logs", "error", err)
		links = ""
	}
	limits := pod.BackoffLimits{}
	if d := k.CrashLoopBackOff.MaxContainerRestartPeriod; d != nil {
		limits.Max = d.Duration
	}
	users, err := userns.New(a.cfg.Root, int(k.MaxPods), a.log)
	if err != nil {
		return fmt.Errorf("find the user namespaces of pods: %w", err)
	}
	cfg := worker.Config{
		Node: node, UserNamespaces: users, Runtime: a.runtime, Observer: a.observer,
		Volumes: a.volumes, Images: a.puller, Cgroups: a.cgroups,
		Statuses: a.statuses, Probes: a.probes,
		Lifecycle: &hook.Runner{Exec: a.runtime, Version: shortVersion()},
		Admit:     a.admit,
		Isolate:   a.cfg.Isolate,
		Event:     a.events.pod, RuntimeName: a.version.GetRuntimeName(),
		Logs: a.rotator, ContainerLogs: links, Limits: limits, Relist: a.cfg.Relist, Log: a.log,
	}
	if a.objects != nil {
		cfg.Objects = a.objects
		cfg.Services = a.services.environment
		cfg.Handler = a.runtimeHandler
	}
	a.workers = worker.NewManager(cfg)
	return nil
}

// runtimeEvents hands the runtime's events to the workers.
type runtimeEvents struct{ a *Agent }

// Connected makes up for what happened while no stream stood.
func (s runtimeEvents) Connected() { s.a.askRelist() }

func (s runtimeEvents) Event(e *runtimeapi.ContainerEventResponse) {
	if ev, ok := observe.EventOf(e); ok {
		s.a.workers.Notify(ev)
	}
}

// withoutEvents is the pause between listings of a runtime that tells nothing.
const withoutEvents = time.Second

// watchRuntime follows the runtime's events. A runtime without them is listed
// every second instead.
func (a *Agent) watchRuntime(ctx context.Context) error {
	err := rtcri.Watch(ctx, a.runtime, runtimeEvents{a}, clock.RealClock{}, a.log)
	if !errors.Is(err, rtcri.ErrNoEvents) {
		return err
	}
	a.log.Warn("the container runtime has no event stream; listing it every second")
	for ticker := time.NewTicker(withoutEvents); ; {
		select {
		case <-ctx.Done():
			ticker.Stop()
			return nil
		case <-ticker.C:
			a.askRelist()
		}
	}
}

func (a *Agent) askRelist() {
	select {
	case a.relist <- struct{}{}:
	default:
	}
}

// keepRelisting compares the runtime with what the workers know, rarely, as a
// safety net.
func (a *Agent) keepRelisting(ctx context.Context) error {
	ticker := time.NewTicker(a.cfg.Relist)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		case <-a.relist:
		}
		all, err := a.workers.Relist(ctx, a.sources.Load() == 0)
		if err != nil {
			if ctx.Err() == nil {
				a.log.Warn("the container runtime cannot be listed", "error", err)
			}
			continue
		}
		a.listed.Store(time.Now().UnixNano())
		a.collectGarbage(ctx, all)
	}
}
