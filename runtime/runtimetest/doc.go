// Package runtimetest gives tests a container runtime of their own: the embedded
// containerd with real runc, shims and CNI plugins, a bridge and a subnet that no
// other test has, and Proa's images imported. Everything is removed at the test's
// end.
//
//	env := runtimetest.Start(t)
//	conn := env.Connect(t)
//	id, err := conn.Runtime.RunPodSandbox(ctx, env.SandboxConfig("web"), "")
//
// It needs root on Linux. The programs come from PROA_BIN_DIR if that is set (the
// bin directory of make build); otherwise they are built once into the user's
// cache directory, under a name derived from go.sum, so that the second run of
// any test starts at once.
package runtimetest
