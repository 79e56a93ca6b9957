// Package runtime is the room of the container runtime: what runs the
// containers of a node, and how the node agent reaches it.
//
//	            node agent                       proa image import
//	                │ CRI (gRPC, unix socket)          │ containerd API
//	                ▼                                  ▼
//	runtime/cri ── socket ───────────────────── runtime/images
//	                │
//	        runtime/embedded: containerd's plugins in this process ── exec ── CNI plugins (network/cni)
//	                │ ttrpc
//	          runtime/shim: containerd's shim for runc, a process for up to 16 pods; survives this process
//	                ├── pause, in each pod's namespaces (runtime/sandbox says how)
//	                └── exec ── runc ── containers
//
// The agent knows nothing but CRI. The embedded runtime is the default because
// it makes the node one program; with --container-runtime-endpoint another one
// takes its place, and this process then runs none.
//
// [Teardown] is the other end: it removes all that a runtime made on the
// machine, from what is on disk and in /proc, whether or not a runtime is alive
// to help.
//
// A restart is no event for containers: shims are found again, with the pods that
// they hold, and half-started pods are ended (TestKilledWhileStarting). The end of a
// shim is the end of its own pods, and of no others (TestShimsAreApart).
//
// runtime/runtimetest starts all of this for tests of packages that need real
// containers.
package runtime
