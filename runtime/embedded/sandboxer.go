package embedded

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	apitypes "github.com/containerd/containerd/api/types"
	csandbox "github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/typeurl/v2"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"proa/runtime/sandbox"
)

// sandboxerID is the name under which CRI finds the controller, and which it
// records for each sandbox.
const sandboxerID = "proa"

// sandboxer is a sandbox controller of containerd: the light sandboxes of package
// sandbox for ordinary pods, upstream's for the others.
//
// It does what the shim cannot, because CRI decides it or looks for it on the
// host: the files and the shared memory that all containers of a pod have.
type sandboxer struct {
	light csandbox.Controller
	full  csandbox.Controller
	dirs  sandboxDirs
	shims *shims
	log   *slog.Logger

	// viaFull are the sandboxes that upstream's controller was given. After a
	// restart CRI finds those under upstream's own name.
	mu      sync.Mutex
	viaFull map[string]bool
}

var _ csandbox.Controller = (*sandboxer)(nil)

// sandboxerPlugin describes the controller to containerd.
func sandboxerPlugin(c Config, shims *shims) plugin.Registration {
	return plugin.Registration{
		Type: plugins.SandboxControllerPlugin,
		ID:   sandboxerID,
		InitFn: func(ic *plugin.InitContext) (any, error) {
			full, err := ic.GetByID(plugins.PodSandboxPlugin, "podsandbox")
			if err != nil {
				return nil, err
			}
			if err := shims.adopt(ic.Context); err != nil {
				return nil, err
			}
			return &sandboxer{
				light: &lightSandboxes{shims, time.Now}, shims: shims, full: full.(csandbox.Controller),
				dirs: newSandboxDirs(c), log: c.Logger, viaFull: map[string]bool{},
			}, nil
		},
	}
}

// suits tells whether a light sandbox is enough for a pod.
func suits(pod *runtimeapi.PodSandboxConfig) bool {
	sc := pod.GetLinux().GetSecurityContext()
	switch {
	case pod.GetLinux() == nil:
		return false
	case sc.GetNamespaceOptions().GetUsernsOptions().GetMode() == runtimeapi.NamespaceMode_POD &&
		sc.GetNamespaceOptions().GetUsernsOptions() != nil:
		return false // its namespaces belong to another user namespace
	case sc.GetSelinuxOptions() != nil:
		return false
	}
	return true
}

// specOf gives the sandbox of a pod. Pure.
func specOf(pod *runtimeapi.PodSandboxConfig, root string) sandbox.Spec {
	ns := pod.GetLinux().GetSecurityContext().GetNamespaceOptions()
	s := sandbox.Spec{
		Root:     root,
		HostIPC:  ns.GetIpc() == runtimeapi.NamespaceMode_NODE,
		SharePID: ns.GetPid() == runtimeapi.NamespaceMode_POD,
		Sysctls:  maps.Clone(pod.GetLinux().GetSysctls()),
	}
	if ns.GetNetwork() == runtimeapi.NamespaceMode_NODE {
		return s
	}
	s.Hostname = pod.GetHostname()
	// As upstream's sandboxes have it: any port and ping without privileges.
	for name, value := range map[string]string{
		"net.ipv4.ip_unprivileged_port_start": "0",
		"net.ipv4.ping_group_range":           "0 2147483647",
	} {
		if _, set := s.Sysctls[name]; set {
			continue
		}
		if s.Sysctls == nil {
			s.Sysctls = map[string]string{}
		}
		s.Sysctls[name] = value
	}
	return s
}

// specOptions carries a specification through containerd to the shim.
type specOptions struct{ json []byte }

func (specOptions) GetTypeUrl() string { return sandbox.SpecType }
func (o specOptions) GetValue() []byte { return o.json }

// Create prepares a sandbox.
func (s *sandboxer) Create(ctx context.Context, info csandbox.Sandbox, opts ...csandbox.CreateOpt) error {
	var o csandbox.CreateOptions
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return err
		}
	}
	pod := new(runtimeapi.PodSandboxConfig)
	if err := typeurl.UnmarshalTo(o.Options, pod); err != nil {
		return fmt.Errorf("sandbox %s: %w", info.ID, err)
	}
	if !suits(pod) {
		s.markFull(info.ID)
		return s.full.Create(ctx, info, opts...)
	}
	spec, err := json.Marshal(specOf(pod, s.dirs.root))
	if err != nil {
		return fmt.Errorf("sandbox %s: %w", info.ID, err)
	}
	if err := s.dirs.create(info.ID, pod); err != nil {
		return errors.Join(fmt.Errorf("sandbox %s: %w", info.ID, err), s.dirs.remove(info.ID))
	}
	err = s.light.Create(ctx, info,
		csandbox.WithOptions(specOptions{spec}), csandbox.WithNetNSPath(o.NetNSPath), csandbox.WithAnnotations(o.Annotations))
	if err != nil {
		return errors.Join(err, s.dirs.remove(info.ID))
	}
	return nil
}

// Start starts a prepared sandbox. One that fails is gone afterwards.
func (s *sandboxer) Start(ctx context.Context, id string) (csandbox.ControllerInstance, error) {
	if s.isFull(id) {
		return s.full.Start(ctx, id)
	}
	instance, err := s.light.Start(ctx, id)
	if err != nil {
		return instance, errors.Join(err, s.dirs.remove(id))
	}
	return instance, nil
}

// Shutdown removes a sandbox with everything that is its own.
func (s *sandboxer) Shutdown(ctx context.Context, id string) error {
	if s.isFull(id) {
		err := s.full.Shutdown(ctx, id)
		if err == nil {
			s.unmarkFull(id)
		}
		return err
	}
	if err := s.light.Shutdown(ctx, id); err != nil {
		return err
	}
	return s.dirs.remove(id)
}

// Close lets go of the shims.
func (s *sandboxer) Close() error { return s.shims.Close() }

func (s *sandboxer) markFull(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.viaFull[id] = true
}

func (s *sandboxer) unmarkFull(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.viaFull, id)
}

func (s *sandboxer) isFull(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.viaFull[id]
}

// of is the controller that has the sandbox.
func (s *sandboxer) of(id string) csandbox.Controller {
	if s.isFull(id) {
		return s.full
	}
	return s.light
}

// Platform is the platform of the sandbox's containers. Asking the shim would
// be a call for each container, for what is known.
func (s *sandboxer) Platform(ctx context.Context, id string) (imagespec.Platform, error) {
	return s.full.Platform(ctx, id)
}

// Stop ends the sandbox's process.
func (s *sandboxer) Stop(ctx context.Context, id string, opts ...csandbox.StopOpt) error {
	return s.of(id).Stop(ctx, id, opts...)
}

// Wait returns when the sandbox has ended.
func (s *sandboxer) Wait(ctx context.Context, id string) (csandbox.ExitStatus, error) {
	return s.of(id).Wait(ctx, id)
}

// Status asks for a sandbox's state.
func (s *sandboxer) Status(ctx context.Context, id string, verbose bool) (csandbox.ControllerStatus, error) {
	return s.of(id).Status(ctx, id, verbose)
}

// Metrics of the sandbox's process.
func (s *sandboxer) Metrics(ctx context.Context, id string) (*apitypes.Metric, error) {
	return s.of(id).Metrics(ctx, id)
}

// Update changes a sandbox's resources, of which a light one has none.
func (s *sandboxer) Update(ctx context.Context, id string, info csandbox.Sandbox, fields ...string) error {
	return s.of(id).Update(ctx, id, info, fields...)
}

// prune removes what sandboxes left that are not known any more: after a reboot,
// or when their shim died with them.
func (s *sandboxer) prune(ctx context.Context, known map[string]bool) {
	for _, id := range s.dirs.list() {
		if known[id] {
			continue
		}
		if err := s.Shutdown(ctx, id); err != nil {
			s.log.Warn("cannot remove the files of a sandbox that is gone", "sandbox", id, "err", err)
		}
	}
}

// pauseRoot makes the directory that pause processes have as their root.
func pauseRoot(c Config) error {
	dir := newSandboxDirs(c).root
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("sandbox root: %w", err)
	}
	program, err := os.ReadFile(filepath.Join(c.BinDir, PauseBinary))
	if err != nil {
		return fmt.Errorf("container runtime program missing (build it with make, or set BinDir): %w", err)
	}
	target := filepath.Join(dir, sandbox.Pause)
	// Running pause processes keep the old file, which is why it is replaced
	// and not written.
	tmp := target + ".new"
	if err := os.WriteFile(tmp, program, 0o100); err != nil {
		return fmt.Errorf("sandbox root: %w", err)
	}
	// Nobody may read it: that makes the process undumpable.
	if err := os.Chmod(tmp, 0o111); err != nil {
		return fmt.Errorf("sandbox root: %w", err)
	}
	if err := os.Rename(tmp, target); err != nil {
		return fmt.Errorf("sandbox root: %w", err)
	}
	return nil
}
