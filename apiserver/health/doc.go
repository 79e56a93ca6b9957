// Package health answers /livez, /readyz and /healthz: named checks, each
// under a path of its own, with ?verbose and ?exclude= as probes use them.
package health
