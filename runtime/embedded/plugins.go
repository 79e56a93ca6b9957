package embedded

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	// The bill of materials. These packages register themselves; that is
	// containerd's way, and the reason why the list is here and nowhere else.
	_ "github.com/containerd/containerd/api/types/runc/options"
	_ "github.com/containerd/containerd/v2/core/metrics/cgroups"
	_ "github.com/containerd/containerd/v2/core/metrics/cgroups/v2"
	_ "github.com/containerd/containerd/v2/core/runtime/v2"
	_ "github.com/containerd/containerd/v2/plugins/content/local/plugin"
	_ "github.com/containerd/containerd/v2/plugins/cri"
	_ "github.com/containerd/containerd/v2/plugins/cri/images"
	_ "github.com/containerd/containerd/v2/plugins/cri/runtime"
	_ "github.com/containerd/containerd/v2/plugins/diff/walking/plugin"
	_ "github.com/containerd/containerd/v2/plugins/events"
	_ "github.com/containerd/containerd/v2/plugins/gc"
	_ "github.com/containerd/containerd/v2/plugins/leases"
	_ "github.com/containerd/containerd/v2/plugins/metadata"
	_ "github.com/containerd/containerd/v2/plugins/mount"
	_ "github.com/containerd/containerd/v2/plugins/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/services/containers"
	_ "github.com/containerd/containerd/v2/plugins/services/content"
	_ "github.com/containerd/containerd/v2/plugins/services/diff"
	_ "github.com/containerd/containerd/v2/plugins/services/events"
	_ "github.com/containerd/containerd/v2/plugins/services/images"
	_ "github.com/containerd/containerd/v2/plugins/services/introspection"
	_ "github.com/containerd/containerd/v2/plugins/services/leases"
	_ "github.com/containerd/containerd/v2/plugins/services/namespaces"
	_ "github.com/containerd/containerd/v2/plugins/services/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/services/snapshots"
	_ "github.com/containerd/containerd/v2/plugins/services/tasks"
	_ "github.com/containerd/containerd/v2/plugins/services/version"
	_ "github.com/containerd/containerd/v2/plugins/services/warning"
	_ "github.com/containerd/containerd/v2/plugins/snapshots/native/plugin"
	_ "github.com/containerd/containerd/v2/plugins/transfer"
)

const (
	snapshotterOverlay = "overlayfs"
	snapshotterNative  = "native"

	taskPluginURI       = "io.containerd.runtime.v2.task"
	criPluginURI        = "io.containerd.grpc.v1.cri"
	criRuntimePluginURI = "io.containerd.cri.v1.runtime"
	criImagesPluginURI  = "io.containerd.cri.v1.images"
	shimPluginURI       = "io.containerd.shim.v1.manager"
	transferPluginURI   = "io.containerd.transfer.v1.local"
	gcPluginURI         = "io.containerd.gc.v1.scheduler"
	monitorPluginURI    = "io.containerd.monitor.task.v1.cgroups"
	metadataPluginURI   = "io.containerd.metadata.v1.bolt"
)

// required are the plugins a node cannot do without. Most others are pulled in
// by them; one of those failing shows as the failure of its dependant.
var required = []string{
	criPluginURI, criRuntimePluginURI, criImagesPluginURI,
	taskPluginURI, shimPluginURI, transferPluginURI, gcPluginURI,
}

// graph returns the plugins in the order they can be initialised: those that are
// registered and our own. Of the snapshotters only the one in use is loaded:
// opening another would create its directory and its database.
func graph(snapshotter string, overlay, sandboxer plugin.Registration) []plugin.Registration {
	ordered := registry.Graph(func(r *plugin.Registration) bool {
		return r.Type == plugins.SnapshotPlugin && r.ID != snapshotter
	})
	cri := slices.IndexFunc(ordered, func(r plugin.Registration) bool { return r.URI() == criPluginURI })
	ordered = slices.Insert(ordered, max(cri, 0), sandboxer)
	if snapshotter == overlay.ID {
		ordered = slices.Insert(ordered, 0, overlay)
	}
	return ordered
}

// probed are the facts about the machine that the plugins' settings depend on.
type probed struct {
	// restrictOOMScoreAdj: this process may not lower oom_score_adj, so the
	// scores of containers are raised to its own where they are below.
	restrictOOMScoreAdj bool
	// snapshotter that works on Root's file system.
	snapshotter string
}

// settings maps a plugin's URI to its settings, in the names and nesting of
// containerd's TOML. Every value this package cares about is written out, also
// where it equals containerd's default: the registry's configuration values are
// shared by all runtimes of a process, and must not carry over from one to the
// next.
func settings(c Config, p probed) map[string]any {
	platform := "linux/" + runtime.GOARCH
	return map[string]any{
		criPluginURI: map[string]any{
			"disable_tcp_service":   true,
			"stream_server_address": "127.0.0.1",
			"stream_server_port":    "0",
		},
		criRuntimePluginURI: map[string]any{
			"restrict_oom_score_adj":       p.restrictOOMScoreAdj,
			"netns_mounts_under_state_dir": true,
			"stats_collect_period":         c.StatsPeriod.String(),
			"cni": map[string]any{
				"bin_dirs": c.CNIBinDirs,
				"conf_dir": c.CNIConfDir,
				// Bringing lo up is one netlink message; the loopback plugin
				// is a process per pod for the same.
				"use_internal_loopback": true,
			},
			"containerd": map[string]any{
				"default_runtime_name": "runc",
				"runtimes": map[string]any{
					"runc": map[string]any{
						"runtime_type": plugins.RuntimeRuncV2,
						"sandboxer":    sandboxerID,
						"options": map[string]any{
							"BinaryName":    c.runcPath(),
							"Root":          RuncRoot(c.State),
							"SystemdCgroup": c.SystemdCgroup,
						},
					},
				},
			},
		},
		criImagesPluginURI: map[string]any{
			"snapshotter":          p.snapshotter,
			"pinned_images":        map[string]any{"sandbox": c.SandboxImage},
			"registry":             map[string]any{"config_path": c.RegistryConfigPath},
			"stats_collect_period": int(c.ImageStatsPeriod.Seconds()),
		},
		transferPluginURI: map[string]any{
			"config_path": c.RegistryConfigPath,
			"unpack_config": []map[string]any{
				{"platform": platform, "snapshotter": p.snapshotter, "differ": "walking"},
			},
		},
		shimPluginURI: map[string]any{
			"socket_dir": ShimSocketDir(c.State),
			"env":        shimEnv(c.BinDir),
		},
		monitorPluginURI: map[string]any{"no_prometheus": true},
		// durability.go says why, and what takes its place.
		metadataPluginURI: map[string]any{"no_sync": p.snapshotter == snapshotterOverlay},
		gcPluginURI: map[string]any{
			// A first collection soon after the start would compete with the
			// first pods for the metadata lock; nothing is urgent then.
			"startup_delay": "10s",
		},
	}
}

// shimEnv is added to the environment of the shims, and inherited by runc.
// Given here, it need not be set in the process, where it would leak into
// everything else.
func shimEnv(binDir string) []string {
	return []string{
		// CRI resolves helper programs (criu, apparmor_parser) along this too.
		"PATH=" + strings.Join([]string{binDir, "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}, ":"),
		// For runc, which lives for milliseconds: collecting its garbage and
		// waking threads costs more than it brings. The shim, which stays, sets
		// its own rate and number.
		"GOGC=off", "GOMAXPROCS=1",
	}
}

// checkRequired reports the first required plugin that is not in the set.
func checkRequired(set *plugin.Set, log *slog.Logger) error {
	have := map[string]error{}
	for _, p := range set.GetAll() {
		_, err := p.Instance()
		have[p.Registration.URI()] = err
		if err != nil && !plugin.IsSkipPlugin(err) {
			log.Warn("containerd plugin failed", "plugin", p.Registration.URI(), "err", err)
		}
	}
	for _, uri := range required {
		err, ok := have[uri]
		switch {
		case !ok:
			return fmt.Errorf("containerd plugin %s is not linked in", uri)
		case err != nil:
			return fmt.Errorf("containerd plugin %s: %w", uri, err)
		}
	}
	return nil
}
