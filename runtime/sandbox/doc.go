// Package sandbox is what the embedded runtime and its shim agree on: how a pod's
// namespaces are made and held open.
//
// Upstream a pod sandbox is a container like any other: an image, a snapshot, two
// runs of runc, a seccomp filter, a cgroup, around a process that does nothing.
// That is more than half of what starting a pod costs. Here the shim, which its
// containers need anyway, makes the namespaces itself and starts the pause program in
// them directly, which takes a few milliseconds.
//
// What isolates that process, since it is no container:
//
//   - it runs as user and group 65535 and has no capabilities;
//   - its root is a directory with nothing but the program in it, in a mount
//     namespace of its own: a container that shares its PID namespace sees nothing
//     through /proc/1/root;
//   - the program is not readable, which makes the process undumpable: its files
//     in /proc belong to root, and nobody without CAP_SYS_PTRACE opens them;
//   - it is 700 bytes of five system calls, without input and without open files.
//
// It is in the shim's cgroup, not in the pod's: its 12 kB are the node's to
// account for, as the shim's are.
//
// Pods that need more of their sandbox (a user namespace, an SELinux label) get
// upstream's, see the sandbox controller in runtime/embedded.
//
// The package has no dependencies, because the shim stays in memory.
package sandbox
