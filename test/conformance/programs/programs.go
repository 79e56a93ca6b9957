// Package programs builds the upstream programs that the module pins: the suite
// itself, what goes into its images, and the parts of an upstream cluster.
//
// The suite takes two cores about ten minutes, so what is built is kept in a
// directory that is named after the versions of everything in it, and built
// again only when one of them changes.
package programs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Program is one that can be built.
type Program struct {
	// Name of the file.
	Name string
	// Package that it is built from.
	Package string
	// Test says that the package's tests are the program.
	Test bool
}

// The programs. Those of the module itself have no version but the module's.
var (
	Suite                 = Program{Name: "e2e.test", Package: "k8s.io/kubernetes/test/e2e", Test: true}
	Agnhost               = Program{Name: "agnhost", Package: "k8s.io/kubernetes/test/images/agnhost"}
	NoNewPrivs            = Program{Name: "nnp", Package: "k8s.io/kubernetes/test/images/nonewprivs"}
	ResourceConsumer      = Program{Name: "consumer", Package: "k8s.io/kubernetes/test/images/resource-consumer"}
	ConsumeCPU            = Program{Name: "consume-cpu", Package: "k8s.io/kubernetes/test/images/resource-consumer/consume-cpu"}
	SampleAPIServer       = Program{Name: "sample-apiserver", Package: "k8s.io/sample-apiserver"}
	Etcd                  = Program{Name: "etcd", Package: "proa/test/conformance/etcd"}
	KubeAPIServer         = Program{Name: "kube-apiserver", Package: "k8s.io/kubernetes/cmd/kube-apiserver"}
	KubeControllerManager = Program{Name: "kube-controller-manager", Package: "k8s.io/kubernetes/cmd/kube-controller-manager"}
	KubeScheduler         = Program{Name: "kube-scheduler", Package: "k8s.io/kubernetes/cmd/kube-scheduler"}
	Kubelet               = Program{Name: "kubelet", Package: "k8s.io/kubernetes/cmd/kubelet"}
	KubeProxy             = Program{Name: "kube-proxy", Package: "k8s.io/kubernetes/cmd/kube-proxy"}
)

// Upstream are the parts of an upstream cluster.
var Upstream = []Program{KubeAPIServer, KubeControllerManager, KubeScheduler, Kubelet, KubeProxy}

// Kubernetes is the release that the module pins.
const Kubernetes = "v1.36.3"

// ldflags leave out what only a debugger reads, and tell the programs their
// version, which without it is that of a development build.
const ldflags = "-s -w -X k8s.io/component-base/version.gitVersion=" + Kubernetes +
	" -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=36"

// Builder builds programs into a directory.
type Builder struct {
	module, dir string
}

// NewBuilder builds from the module in the directory module, and keeps programs
// below cache, which is created.
func NewBuilder(module, cache string) (*Builder, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), ldflags)
	for _, name := range []string{"go.mod", "go.sum"} {
		b, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return nil, fmt.Errorf("find out the versions of the suite: %w", err)
		}
		h.Write(b)
	}
	dir := filepath.Join(cache, "programs-"+hex.EncodeToString(h.Sum(nil))[:12])
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cache of programs: %w", err)
	}
	return &Builder{module: module, dir: dir}, nil
}

// Dir is where the programs are. Another version has another.
func (b *Builder) Dir() string { return b.dir }

// Module is the directory of the module that is built from.
func (b *Builder) Module() string { return b.module }

// Build returns the path of a program, which it builds if it is not there.
func (b *Builder) Build(ctx context.Context, p Program) (string, error) {
	path := filepath.Join(b.dir, p.Name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	fmt.Fprintln(os.Stderr, "building", p.Name)
	args := []string{"build"}
	if p.Test {
		// Vetting it would take as long again.
		args = []string{"test", "-c", "-vet=off"}
	}
	// Under another name until it is whole.
	tmp := path + ".new"
	cmd := exec.CommandContext(ctx, "go", append(args, "-trimpath", "-ldflags", ldflags, "-o", tmp, p.Package)...)
	cmd.Dir = b.module
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", p.Name, err, out)
	}
	if err := os.Rename(tmp, path); err != nil {
		return "", fmt.Errorf("build %s: %w", p.Name, err)
	}
	return path, nil
}
