// Package version says which Proa this is and which Kubernetes it speaks.
package version

import (
	"runtime"
	"runtime/debug"

	apimachineryversion "k8s.io/apimachinery/pkg/version"
)

// Kubernetes is the release whose API Proa serves.
const Kubernetes = "v1.36.3"

// Proa is the version of this program. The Makefile sets it from git.
var Proa = "0.1.0-dev"

// Git returns what components report as their version: the Kubernetes release
// with Proa's own as build metadata.
func Git() string { return Kubernetes + "+proa-" + Proa }

// Info is the answer to GET /version.
func Info() apimachineryversion.Info {
	i := apimachineryversion.Info{
		Major: "1", Minor: "36", GitVersion: Git(), GitTreeState: "clean",
		EmulationMajor: "1", EmulationMinor: "36",
		MinCompatibilityMajor: "1", MinCompatibilityMinor: "35",
		GoVersion: runtime.Version(), Compiler: runtime.Compiler,
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	if b, ok := debug.ReadBuildInfo(); ok {
		for _, s := range b.Settings {
			switch s.Key {
			case "vcs.revision":
				i.GitCommit = s.Value
			case "vcs.time":
				i.BuildDate = s.Value
			case "vcs.modified":
				if s.Value == "true" {
					i.GitTreeState = "dirty"
				}
			}
		}
	}
	return i
}
