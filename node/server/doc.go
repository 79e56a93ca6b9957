// Package server is the agent's HTTPS API: what the API server (for kubectl
// logs, exec, attach and port-forward), metrics collectors and administrators
// speak to, in upstream's words and paths.
//
// Every path is authenticated and authorized as the "nodes" resource with a
// subresource for each area (log, metrics, stats, pods, healthz, configz, and
// proxy for the rest); nothing is anonymous. The health endpoint on loopback is
// a server of its own and knows nothing else. There is no profiling, no
// checkpoint and no debug endpoint.
//
// Streams go through unread: the runtime gives a URL, and the client's upgraded
// connection is joined to one dialled there. Only WebSocket clients of
// v5.channel.k8s.io, which runtimes do not speak, and tunnelled port-forwards
// are translated to SPDY. Redirects are never followed, and a backend
// connection whose upgrade failed is closed, not reused (CVE-2018-1002105).
package server
