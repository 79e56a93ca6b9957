package lint

import (
	"strconv"
	"strings"
	"testing"
)

// rule is about a path and everything below it.
type rule struct{ prefix, reason string }

// banned wins over allowed.
var banned = []rule{
	{"k8s.io/kubernetes", "it is what this project writes anew; only test modules of their own may use it"},
	{"k8s.io/apiserver/pkg/server", "the server is ours: apiserver/"},
	{"k8s.io/apiserver/pkg/registry", "the registry is ours: resource/ and apiserver/"},
	{"k8s.io/apiserver/pkg/storage", "storage and watch cache are ours: store/ and cache/"},
	{"k8s.io/apiserver/pkg/endpoints", "the request path is ours: apiserver/"},
	{"k8s.io/apiserver/pkg/cacher", "the watch cache is ours: cache/"},
	{"k8s.io/apiserver/pkg/controlplane", "the server is ours: apiserver/"},
	{"k8s.io/apiextensions-apiserver/pkg/apiserver", "custom resources enter our table at run time"},
	{"k8s.io/apiextensions-apiserver/pkg/cmd", "a server of another implementation"},
	{"k8s.io/apiextensions-apiserver/pkg/controller", "controllers are ours: controller/"},
	{"k8s.io/apiextensions-apiserver/pkg/registry", "the registry is ours: resource/"},
	{"k8s.io/kube-aggregator", "aggregation is a part of our request path"},
	{"k8s.io/kube-scheduler", "the scheduler is ours: scheduler/"},
	{"k8s.io/kube-proxy", "the service proxy is ours: network/"},
	{"k8s.io/kube-controller-manager", "controllers are ours: controller/"},
	{"k8s.io/cloud-provider", "controllers are ours: controller/"},
	{"github.com/k3s-io", "another implementation of the system"},
	{"github.com/rancher", "another implementation of the system"},
	{"github.com/k0sproject", "another implementation of the system"},
	{"github.com/kcp-dev", "another implementation of the system"},
	{"github.com/openshift", "another implementation of the system"},
	{"sigs.k8s.io/kind", "another way to run upstream"},
}

// exempt are leaves below a banned path that writing anew would only copy.
var exempt = []rule{
	{"k8s.io/apiserver/pkg/storage/value", "encryption-at-rest transformers"},
	{"k8s.io/apiextensions-apiserver/pkg/apiserver/schema", "structural schemas and their CEL"},
	{"k8s.io/apiextensions-apiserver/pkg/apiserver/validation", "validators of values by a schema"},
	{"k8s.io/kube-scheduler/config", "the configuration kind, without an implementation"},
	{"k8s.io/kube-scheduler/extender", "the wire types of extenders, without an implementation"},
}

// confined may be imported only in one folder.
var confined = []struct{ prefix, below, reason string }{
	{"go.etcd.io/etcd", "store/etcd", "the store is a narrow interface, and only what is behind it knows etcd"},
	{"github.com/anishathalye/porcupine", "test/history", "a checker of histories is for tests"},
	{"go.etcd.io/raft", "store/etcd", "the store is a narrow interface, and only what is behind it knows etcd"},
}

// allowed is every module that the product stands on.
var allowed = []rule{
	{"proa", "this module"},
	{"k8s.io/api", "the served types are the only types"},
	{"k8s.io/apimachinery", "serializers, labels, fields, patches, managed fields"},
	{"k8s.io/apiserver", "leaves: authenticator and authorizer contracts, CEL environment, transformers"},
	{"k8s.io/apiextensions-apiserver", "leaves: types and structural schemas"},
	{"k8s.io/client-go", "clients, informers, work queues, leader election"},
	{"k8s.io/component-base", "configuration types and version of the libraries above"},
	{"k8s.io/component-helpers", "small shared rules: affinity, leases, services"},
	{"k8s.io/cri-api", "the contract with container runtimes"},
	{"k8s.io/cri-client", "its client"},
	{"k8s.io/cri-streaming", "exec, attach and port-forward of a runtime"},
	{"k8s.io/streaming", "the streaming protocols"},
	{"k8s.io/csi-translation-lib", "in-tree volumes as CSI"},
	{"k8s.io/dynamic-resource-allocation", "CEL of device selectors, and which devices a claim gets on a node"},
	{"k8s.io/klog", "the log of the libraries, routed into slog"},
	{"k8s.io/kms", "key management plug-ins"},
	{"k8s.io/kube-openapi", "OpenAPI types and handlers"},
	{"k8s.io/kubectl", "the CLI, embedded"},
	{"k8s.io/cli-runtime", "the CLI's base"},
	{"k8s.io/kubelet", "device-plugin, pod-resources and stats APIs"},
	{"k8s.io/metrics", "types of resource metrics"},
	{"k8s.io/mount-utils", "mounts"},
	{"k8s.io/pod-security-admission", "the pod security policy checks"},
	{"k8s.io/utils", "small helpers of the libraries above"},
	{"k8s.io/kube-scheduler", "its configuration types; see exempt"},
	{"sigs.k8s.io/json", "case-sensitive JSON as upstream reads it"},
	{"sigs.k8s.io/knftables", "nftables transactions"},
	{"sigs.k8s.io/randfill", "random objects for tests"},
	{"sigs.k8s.io/structured-merge-diff", "server-side apply"},
	{"sigs.k8s.io/yaml", "YAML as upstream reads it"},
	{"go.etcd.io", "the store and its raft; bbolt also keeps containerd's metadata"},
	{"go.uber.org/zap", "embedded etcd's log"},
	{"github.com/anishathalye/porcupine", "whether reads and writes were linearizable, in tests"},
	{"github.com/containerd", "the embedded container runtime"},
	{"github.com/opencontainers", "runc and the OCI types"},
	{"github.com/containernetworking", "CNI and its plug-ins"},
	{"github.com/container-storage-interface", "the contract with storage drivers"},
	{"github.com/coredns", "cluster DNS"},
	{"github.com/miekg/dns", "DNS messages"},
	{"github.com/coreos/go-oidc", "OpenID Connect"},
	{"github.com/go-jose/go-jose", "signed tokens"},
	{"github.com/distribution/reference", "image names"},
	{"github.com/fsnotify/fsnotify", "files that change"},
	{"github.com/go-logr/logr", "the log interface of the libraries"},
	{"github.com/google/btree", "copy-on-write trees"},
	{"github.com/google/cel-go", "CEL"},
	{"github.com/google/go-cmp", "differences in tests"},
	{"github.com/google/go-containerregistry", "image registries"},
	{"github.com/google/uuid", "UIDs"},
	{"github.com/gorilla/websocket", "streaming over WebSocket"},
	{"github.com/klauspost/compress", "compression"},
	{"github.com/pelletier/go-toml", "containerd's configuration"},
	{"github.com/prometheus", "metrics"},
	{"github.com/robfig/cron", "schedules, as upstream reads them"},
	{"github.com/rogpeppe/go-internal", "script tests"},
	{"github.com/sirupsen/logrus", "containerd's log"},
	{"github.com/spf13", "commands and flags"},
	{"github.com/vishvananda", "netlink"},
	{"go.opentelemetry.io", "traces"},
	{"golang.org/x", "Go's own extensions"},
	{"google.golang.org/grpc", "gRPC to runtimes and plug-ins"},
	{"google.golang.org/protobuf", "protobuf"},
	{"gopkg.in/evanphx/json-patch.v4", "JSON patch"},
	{"pgregory.net/rapid", "property tests"},
}

func under(path, prefix string) bool {
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

func find(rules []rule, path string) (rule, bool) {
	for _, r := range rules {
		if under(path, r.prefix) {
			return r, true
		}
	}
	return rule{}, false
}

// verdict says why a package in dir may not import path, or "".
func verdict(dir, path string) string {
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") && first != "proa" {
		return "" // the standard library
	}
	if r, ok := find(banned, path); ok {
		if _, ok := find(exempt, path); !ok {
			return r.reason
		}
	}
	for _, c := range confined {
		if under(path, c.prefix) && !under(dir, c.below) {
			return "only below " + c.below + ": " + c.reason
		}
	}
	if _, ok := find(allowed, path); !ok {
		return "not in the table of allowed modules: add it to lint/imports_test.go with its reason"
	}
	return ""
}

func TestImports(t *testing.T) {
	t.Parallel()
	for _, f := range sources(t) {
		if f.test {
			continue
		}
		for _, im := range f.syntax.Imports {
			path, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if why := verdict(f.dir, path); why != "" {
				t.Errorf("%s imports %s: %s", f.path, path, why)
			}
		}
	}
}

func TestVerdict(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dir, path string
		ok        bool
	}{
		{"cli", "net/http", true},
		{"cli", "proa/store", true},
		{"cli", "k8s.io/api/core/v1", true},
		{"cli", "k8s.io/kubernetes/pkg/apis/core", false},
		{"apiserver", "k8s.io/apiserver/pkg/storage/cacher", false},
		{"store", "k8s.io/apiserver/pkg/storage/value/encrypt/aes", true},
		{"apiserver", "k8s.io/apiserver/pkg/endpoints/request", false},
		{"apiserver", "k8s.io/apiserver/pkg/authentication/user", true},
		{"store/etcd", "go.etcd.io/etcd/client/v3", true},
		{"store/etcdlike", "go.etcd.io/etcd/client/v3", false},
		{"cache", "go.etcd.io/raft/v3", false},
		{"cache", "github.com/anishathalye/porcupine", false},
		{"test/history", "github.com/anishathalye/porcupine", true},
		{"cli", "example.com/unknown", false},
	} {
		if got := verdict(c.dir, c.path); (got == "") != c.ok {
			t.Errorf("%s importing %s: %q, allowed should be %t", c.dir, c.path, got, c.ok)
		}
	}
}
