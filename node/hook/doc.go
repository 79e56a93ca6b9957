// Package hook runs the lifecycle hooks of containers: postStart and preStop, as
// exec, httpGet, tcpSocket (kept for old pods) or sleep.
package hook
