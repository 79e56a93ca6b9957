// Package ingress serves the Ingresses of the class "proa" on one node: it makes a
// table of network/edge out of them and opens the node's ports while there are any.
//
//		Ingresses, classes, secrets ─▶ compile ─▶ edge.Table ─┐
//		Services, EndpointSlices    ─▶ resolve ─▶ edge.Backend ─┴▶ edge.Proxy ◀─ ports 80, 443
//
//	  - compile is pure: from all Ingresses to routes and certificates, and to what is
//	    wrong with them, which their owners are told by events.
//	  - resolve is pure: from a Service and its slices to endpoints. It runs for each
//	    event on them, without a new table.
//	  - [Ingress] follows the API, opens and closes ports, and writes on the Node
//	    ([Announcement]) which are open; controller/ingressstatus writes the addresses of
//	    such nodes into the status of Ingresses.
//
// # What an Ingress means here
//
// It is served if its class, by name or by the old annotation, is one whose
// controller is [Controller]. Of two that ask for the same host and path, or
// certificate, the older has it. A pathType of ImplementationSpecific is Prefix. A
// defaultBackend takes what the paths of the Ingress's own hosts do not take, and if
// no older one does, all that no Ingress takes.
//
// Hosts that are in spec.tls are served with the certificate of the Secret, and
// clients that come without TLS are sent to it by a permanent redirect (308), unless
// the annotation [Redirect] is "false". Other hosts, and hosts whose Secret cannot be
// used, have the default certificate, which is one that nobody trusts where none is
// configured.
//
// The appProtocol of the service's port says what endpoints speak: kubernetes.io/h2c
// and grpc HTTP/2 without TLS, https and kubernetes.io/wss TLS, all others HTTP/1.1. A
// Service of type ExternalName is not followed: whoever may make one could make this
// node ask anybody, itself and its neighbours included (CVE-2021-32783).
package ingress
