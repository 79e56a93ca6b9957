package cluster

import (
	"log/slog"
	"net/http"
	"net/netip"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/record"

	"proa/apiserver/local"
	"proa/auth/serviceaccount"
	"proa/controller"
	"proa/controller/certificates"
	"proa/controller/clusterroleaggregation"
	"proa/controller/cronjob"
	"proa/controller/daemonset"
	"proa/controller/deployment"
	"proa/controller/disruption"
	"proa/controller/endpoints"
	"proa/controller/endpointslice"
	"proa/controller/endpointslicemirroring"
	"proa/controller/garbage"
	"proa/controller/ingressstatus"
	"proa/controller/job"
	"proa/controller/loadbalancer"
	"proa/controller/namespace"
	"proa/controller/nodeipam"
	"proa/controller/nodelifecycle"
	"proa/controller/podgc"
	"proa/controller/policystatus"
	"proa/controller/protection"
	"proa/controller/replicaset"
	"proa/controller/resourceclaim"
	"proa/controller/resourcequota"
	"proa/controller/rootca"
	serviceaccountcontroller "proa/controller/serviceaccount"
	"proa/controller/servicecidrs"
	"proa/controller/statefulset"
	"proa/controller/tainteviction"
	"proa/controller/ttlafterfinished"
)

// ControllersConfig is what the controllers are told of the cluster.
type ControllersConfig struct {
	// CA is what pods verify the API server by.
	CA []byte
	// Signer issues certificates. Where it is nil, nobody signs what is requested.
	Signer certificates.Signer
	// Pods are the ranges of all pods, of which nodes are given theirs, unless
	// there are none.
	Pods []netip.Prefix
	// NodeGracePeriod is how long a node may be silent, 0 for the default.
	NodeGracePeriod time.Duration
	// BalanceByNodes gives services of type LoadBalancer addresses of nodes, but for
	// APIPort on them.
	BalanceByNodes bool
	APIPort        int32
}

// Controllers is the list of all controllers, in no order that matters.
func Controllers(c ControllersConfig) []controller.Definition {
	all := []controller.Definition{
		namespace.Definition(),
		serviceaccountcontroller.Definition(),
		rootca.Definition(c.CA),
		replicaset.ReplicaSets(),
		replicaset.ReplicationControllers(),
		statefulset.Definition(),
		daemonset.Definition(),
		cronjob.Definition(),
		deployment.Definition(),
		disruption.Definition(),
		endpoints.Definition(),
		endpointslice.Definition(),
		endpointslicemirroring.Definition(),
		podgc.Definition(),
		nodelifecycle.Definition(c.NodeGracePeriod),
		tainteviction.Definition(),
		garbage.Definition(),
		ingressstatus.Definition(),
		job.Definition(),
		clusterroleaggregation.Definition(),
		resourceclaim.Definition(),
		resourcequota.Definition(),
		servicecidrs.Definition(),
		ttlafterfinished.Definition(),
		policystatus.Definition(),
		protection.Claims(),
		protection.Volumes(),
		protection.Classes(),
		certificates.Approving(),
		certificates.Cleaner(),
	}
	if c.Signer != nil {
		all = append(all, certificates.Signing(c.Signer))
	}
	if c.BalanceByNodes {
		all = append(all, loadbalancer.Definition(c.APIPort))
	}
	if len(c.Pods) > 0 {
		all = append(all, nodeipam.Definition(nodeipam.Ranges(c.Pods...)...))
	}
	return all
}

// controllerClients gives every controller clients of its own identity.
type controllerClients struct {
	config func(serviceAccount string) *rest.Config
	mapper meta.RESTMapper
	log    *slog.Logger
	// events are ended by stop.
	broadcasters []record.EventBroadcaster
}

// localClients reach the API server in this process, as service accounts of
// kube-system.
func localClients(handler http.Handler, log *slog.Logger) *controllerClients {
	return &controllerClients{log: log, config: func(name string) *rest.Config {
		return local.Config(handler, serviceaccount.User(metav1.NamespaceSystem, name, ""), name)
	}}
}

// remoteClients reach an API server over the wire, as service accounts of
// kube-system, for which client requests tokens.
func remoteClients(c *rest.Config, client kubernetes.Interface, log *slog.Logger) *controllerClients {
	return &controllerClients{log: log, config: func(name string) *rest.Config { return asServiceAccount(c, client, name) }}
}

// For implements controller.Clients.
func (f *controllerClients) For(serviceAccount string) (controller.Env, error) {
	c := f.config(serviceAccount)
	client, err := kubernetes.NewForConfig(c)
	if err != nil {
		return controller.Env{}, err
	}
	m := rest.CopyConfig(c)
	m.AcceptContentTypes, m.ContentType = "", ""
	md, err := metadata.NewForConfig(m)
	if err != nil {
		return controller.Env{}, err
	}
	if f.mapper == nil {
		f.mapper = restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client.Discovery()))
	}
	b := record.NewBroadcaster()
	b.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	f.broadcasters = append(f.broadcasters, b)
	return controller.Env{
		Client: client, Metadata: md, Discovery: discovery.DiscoveryInterface(client.Discovery()), Mapper: f.mapper,
		Events: b.NewRecorder(scheme.Scheme, v1.EventSource{Component: serviceAccount}),
	}, nil
}

// stop ends the recording of events.
func (f *controllerClients) stop() {
	for _, b := range f.broadcasters {
		b.Shutdown()
	}
}
