package aggregator

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/utils/ptr"

	"proa/auth"
	"proa/resource/apiregistration"
	"proa/resource/check"
)

const (
	// checkInterval is how often a server is asked for its health.
	checkInterval = 30 * time.Second
	// firstAgain is how soon one is asked again that did not answer; it grows to
	// checkInterval.
	firstAgain = 250 * time.Millisecond
	// checkTimeout bounds one question, of which several are under way, since a
	// service may have several endpoints.
	checkTimeout  = 5 * time.Second
	checkAttempts = 5
	dialTimeout   = 10 * time.Second
	// maxDiscovery bounds what is read of an answer, in bytes.
	maxDiscovery = 10 << 20
)

// checkUser asks for discovery, whatever the other server allows others.
var checkUser = &auth.User{Name: "system:kube-aggregator", Groups: []string{auth.GroupMasters}}

// server is another API server, for one version.
type server struct {
	a       *Aggregator
	service types.NamespacedName
	port    string
	*proxy
	// object is its API service, as last seen.
	object    atomic.Pointer[apiregistration.APIService]
	available atomic.Bool
	// What it serves, and where it describes that. Guarded by a.mu.
	resources []apidiscoveryv2.APIResourceDiscovery
	described handler3.OpenAPIV3DiscoveryGroupVersion
	asked     chan struct{}
	end       context.CancelFunc
}

// serve begins to look after the server of an API service. a.mu is held.
func (a *Aggregator) serve(ctx context.Context, o *apiregistration.APIService, client dynamic.ResourceInterface, running *sync.WaitGroup) *server {
	ref := o.Spec.Service
	s := &server{
		a: a, service: types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, port: strconv.Itoa(int(ptr.Deref(ref.Port, 443))),
		asked: make(chan struct{}, 1),
	}
	s.object.Store(o)
	// What was said of it counts until it has been asked.
	c := o.Condition(apiregistration.Available)
	s.available.Store(c != nil && c.Status == metav1.ConditionTrue)
	s.proxy = newProxy(a, s, o)
	ctx, s.end = context.WithCancel(ctx)
	running.Go(func() {
		defer s.proxy.close()
		s.look(ctx, client)
	})
	return s
}

// same reports whether an API service still says the same of its server.
func (s *server) same(o *apiregistration.APIService) bool {
	was := s.object.Load()
	a, b := was.Spec.DeepCopy(), o.Spec.DeepCopy()
	a.GroupPriorityMinimum, a.VersionPriority = b.GroupPriorityMinimum, b.VersionPriority
	return was.UID == o.UID && check.Equal(a, b)
}

// ask has the server asked soon.
func (s *server) ask() {
	select {
	case s.asked <- struct{}{}:
	default:
	}
}

// look asks the server time and again, and writes down what it finds.
func (s *server) look(ctx context.Context, client dynamic.ResourceInterface) {
	again := firstAgain
	for {
		found, condition := s.check(ctx)
		if ctx.Err() != nil {
			return
		}
		var described handler3.OpenAPIV3DiscoveryGroupVersion
		if condition.Status == metav1.ConditionTrue {
			described = s.document(ctx)
		}
		s.learn(found, described, condition.Status == metav1.ConditionTrue)
		wait := checkInterval
		if err := s.write(ctx, client, condition); err != nil && ctx.Err() == nil {
			s.a.Log.Debug("the condition of an API service was not written; trying again", "name", s.object.Load().Name, "err", err)
			wait = firstAgain
		}
		if condition.Status != metav1.ConditionTrue {
			wait, again = min(wait, again), min(2*again, checkInterval)
		} else {
			again = firstAgain
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-s.asked:
			again = firstAgain
		case <-timer.C:
		}
		timer.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// learn takes over what was found.
func (s *server) learn(found []apidiscoveryv2.APIResourceDiscovery, described handler3.OpenAPIV3DiscoveryGroupVersion, available bool) {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	known := check.Equal(&found, &s.resources) && described == s.described
	if available == s.available.Load() && (known || !available) {
		return
	}
	if available {
		s.resources, s.described = found, described // those of one that does not answer are remembered
	}
	s.available.Store(available)
	s.a.publish()
}

// write stores the condition where it says something new.
func (s *server) write(ctx context.Context, client dynamic.ResourceInterface, c apiregistration.APIServiceCondition) error {
	o := s.object.Load()
	if was := o.Condition(c.Type); was != nil && was.Status == c.Status && was.Reason == c.Reason && was.Message == c.Message {
		return nil
	}
	o = o.DeepCopy()
	c.LastTransitionTime = s.a.Now()
	o.SetCondition(c)
	t, err := tree(o)
	if err != nil {
		return err
	}
	_, err = client.UpdateStatus(ctx, t, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// check says whether the server is available and, if so, what it serves.
func (s *server) check(ctx context.Context) ([]apidiscoveryv2.APIResourceDiscovery, apiregistration.APIServiceCondition) {
	ns, name := s.service.Namespace, s.service.Name
	no := func(status metav1.ConditionStatus, reason, message string, args ...any) ([]apidiscoveryv2.APIResourceDiscovery, apiregistration.APIServiceCondition) {
		return nil, apiregistration.APIServiceCondition{Type: apiregistration.Available, Status: status, Reason: reason, Message: fmt.Sprintf(message, args...)}
	}
	svc, err := s.a.Services.Service(ctx, ns, name)
	if apierrors.IsNotFound(err) {
		return no(metav1.ConditionFalse, "ServiceNotFound", "service/%s in %q is not present", name, ns)
	}
	if err != nil {
		return no(metav1.ConditionUnknown, "ServiceAccessError", "service/%s in %q cannot be checked due to: %v", name, ns, err)
	}
	if svc.Spec.Type == corev1.ServiceTypeClusterIP {
		portName, listens := "", false
		for _, p := range svc.Spec.Ports {
			if strconv.Itoa(int(p.Port)) == s.port {
				portName, listens = p.Name, true
				break
			}
		}
		if !listens {
			return no(metav1.ConditionFalse, "ServicePortError", "service/%s in %q is not listening on port %s", name, ns, s.port)
		}
		slices, err := s.a.Services.EndpointSlices(ctx, ns, name)
		if err != nil {
			return no(metav1.ConditionUnknown, "EndpointsAccessError", "service/%s in %q cannot be checked due to: %v", name, ns, err)
		}
		if len(slices) == 0 {
			return no(metav1.ConditionFalse, "EndpointsNotFound", "cannot find endpointslices for service/%s in %q", name, ns)
		}
		if _, err := s.a.Resolve(ctx, ns, name, s.port); err != nil {
			return no(metav1.ConditionFalse, "MissingEndpoints", "endpointslices for service/%s in %q have no addresses with port name %q", name, ns, portName)
		}
	}
	found, err := s.discover(ctx)
	if err != nil {
		return no(metav1.ConditionFalse, "FailedDiscoveryCheck", "%v", err)
	}
	return found, apiregistration.APIServiceCondition{
		Type: apiregistration.Available, Status: metav1.ConditionTrue, Reason: "Passed", Message: "all checks passed",
	}
}

// discover asks several times at once: one answer is enough.
func (s *server) discover(ctx context.Context) ([]apidiscoveryv2.APIResourceDiscovery, error) {
	type answer struct {
		list *metav1.APIResourceList
		err  error
	}
	gv := s.object.Load().GroupVersion()
	path := "/apis/" + gv.String()
	if gv.Group == "" {
		path = "/api/" + gv.Version
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	answers := make(chan answer, checkAttempts)
	for range checkAttempts {
		go func() {
			list := &metav1.APIResourceList{}
			answers <- answer{list, s.get(ctx, path, list)}
		}()
	}
	var err error
	for range checkAttempts {
		a := <-answers
		if a.err == nil {
			return discovered(gv, a.list), nil
		}
		err = a.err
	}
	return nil, err
}

// get reads a JSON document of the server.
func (s *server) get(ctx context.Context, path string, into any) error {
	u := s.url(path)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	identify(r.Header, checkUser)
	resp, err := s.plain.RoundTrip(r) // no redirect is followed
	if err != nil {
		return fmt.Errorf("failing or missing response from %v: %w", u, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode < http.StatusOK || resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("failing or missing response from %v: bad status from %v: %d", u, u, resp.StatusCode)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxDiscovery))
	if err != nil {
		return fmt.Errorf("failing or missing response from %v: %w", u, err)
	}
	if err := json.Unmarshal(b, into); err != nil {
		return fmt.Errorf("failing or missing response from %v: %w", u, err)
	}
	return nil
}

// discovered is the newer form of what a server says that it serves.
func discovered(gv schema.GroupVersion, list *metav1.APIResourceList) []apidiscoveryv2.APIResourceDiscovery {
	var out []apidiscoveryv2.APIResourceDiscovery
	at := map[string]int{}
	kind := func(r *metav1.APIResource) *metav1.GroupVersionKind {
		k := &metav1.GroupVersionKind{Group: r.Group, Version: r.Version, Kind: r.Kind}
		if k.Version == "" {
			k.Group, k.Version = gv.Group, gv.Version
		}
		return k
	}
	for i := range list.APIResources {
		r := &list.APIResources[i]
		name, sub := cut(r.Name)
		if sub != "" {
			continue
		}
		scope := apidiscoveryv2.ScopeCluster
		if r.Namespaced {
			scope = apidiscoveryv2.ScopeNamespace
		}
		at[name] = len(out)
		out = append(out, apidiscoveryv2.APIResourceDiscovery{
			Resource: name, SingularResource: r.SingularName, Scope: scope, ResponseKind: kind(r), Verbs: r.Verbs,
			ShortNames: r.ShortNames, Categories: r.Categories,
		})
	}
	for i := range list.APIResources {
		r := &list.APIResources[i]
		name, sub := cut(r.Name)
		if j, ok := at[name]; ok && sub != "" {
			out[j].Subresources = append(out[j].Subresources, apidiscoveryv2.APISubresourceDiscovery{Subresource: sub, ResponseKind: kind(r), Verbs: r.Verbs})
		}
	}
	return out
}

func cut(name string) (resource, subresource string) {
	for i := range len(name) {
		if name[i] == '/' {
			return name[:i], name[i+1:]
		}
	}
	return name, ""
}
