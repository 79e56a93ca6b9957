// Package embedded runs containerd inside the calling process.
//
// # What it is
//
// containerd is a graph of plugins; its daemon is a loop that initialises them
// in order and serves what they offer on sockets. This package is that loop,
// with an explicit list of plugins (plugins.go) in place of the daemon's full
// set, and without what a node of Proa does not use: tracing, NRI, Prometheus
// interceptors, the debug and metrics listeners, the restart monitor, image
// verifiers, and every snapshotter but overlayfs and native. Tasks stay where
// containerd keeps them: in shim processes, running runc, once for most containers
// (docs/decisions). A shim does not depend on the process that started it, so
// containers go on when the node is killed, and the next Start finds them again
// through the bundles under State.
//
// A pod's sandbox is made by its shim, without a container around pause; see
// sandboxer.go here and package sandbox. A shim holds many pods (shims.go); what
// ends with it is ended (leftovers.go) before anybody hears of it (tasks.go).
//
// # What it touches
//
// Everything lives below Config.Root (images, snapshots, metadata; survives a
// reboot) and Config.State (bundles, runc state, shim sockets, network
// namespaces; meaningless after a reboot), plus the two sockets. Nothing is
// read from or written to /run/containerd, /var/lib/containerd, /etc/containerd,
// /etc/cni or /opt/cni unless the configuration says so; a containerd or Docker
// of the machine's own is neither used nor disturbed.
//
// # The sockets
//
// Socket speaks CRI and containerd's own services, so the node agent, crictl
// and ctr all work on it. Socket+".ttrpc" receives the events of the shims
// (out-of-memory kills, for one). Both are owned by root with mode 0660 in a
// directory the caller chooses. CRI's streaming server (exec, attach,
// port-forward) listens on loopback with single-use random tokens, as it does
// everywhere; the node agent is the authenticated door in front of it.
//
// # Durability
//
// See durability.go: what has to survive a power cut (images) is synced, what
// does not outlive one anyway (sandboxes and containers) is not.
//
// # Concurrency
//
// Start may be called several times in one process, with different roots.
// containerd's plugin registry holds one shared configuration value per plugin,
// so starts are serialised; runtimes then run side by side. All methods of
// Runtime are safe for concurrent use.
package embedded
