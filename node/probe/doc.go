// Package probe runs the startup, liveness and readiness probes of containers.
//
// Each probe is a goroutine bound to one container instance. It waits for the
// initial delay, runs the check, waits for the period, and so on; while the
// startup probe has not passed, liveness and readiness wait for it. A verdict
// counts once it has come as many times in a row as its threshold says. When a
// state changes, the owner is told through Target.Notify and reads it with the
// next Sync.
//
// What runs a check is behind [Checker]; [Dialer] does HTTP, TCP and gRPC checks,
// and exec checks through the container runtime.
package probe
