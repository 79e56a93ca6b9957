// Package dns answers the names of a cluster on one node, by the DNS
// specification of Kubernetes, version 1.1.0, and passes all others on.
//
//		query ─▶ server block ─▶ rewrite ─▶ hosts ─▶ Zone.Answer ─▶ cache ─▶ forward
//
//	  - [Zone.Answer] is pure: from a question and the objects of the cluster to
//	    records. It keeps no index of its own; the informers that the node has
//	    anyway are indexed by service and by address. It goes on answering from
//	    them while the control plane is down.
//	  - forward asks other name servers, those of the node's resolv.conf among them.
//	    Answers are kept for as long as they say, and at most [maxCached] of them.
//	  - view is what is done with names, made by compile of a Corefile. One replaces
//	    another in one step.
//	  - follower reads the Corefile from the ConfigMap kube-system/coredns, at each of
//	    its changes and on every node. One that cannot be used is told of, by an event
//	    on the ConfigMap and in the log, and the last that could stays in use.
//	  - [Server] listens on the cluster's DNS address, which the node gives itself
//	    on its loopback interface: the answer takes no hop, and nothing is open to
//	    the outside that was not before.
//
// # The Corefile
//
// Server blocks, snippets and imports are those of CoreDNS, and so is the order of
// the steps, whatever that of the directives. Files are not read: an import finds the
// keys of the ConfigMap coredns-custom, as files of /etc/coredns/custom, and hosts
// the other keys of coredns. These are understood:
//
//	kubernetes  domains, pods disabled|insecure, fallthrough, ttl
//	forward     addresses and /etc/resolv.conf; except, policy, max_concurrent, force_tcp
//	cache       TTL, zones, success, denial, disable
//	hosts       entries, ttl, no_reverse, fallthrough
//	rewrite     name exact|prefix|suffix|substring|regex; the answer has the name that
//	            was asked for
//	log         one line for each question
//	errors, health, ready, prometheus, loop, reload, loadbalance and the like are
//	accepted; the node has them in its own way or has no need of them
//
// Any other directive, and an option that would change an answer, makes a Corefile
// one that cannot be used; an option that would not is told of. Without the ConfigMap
// [DefaultCorefile] is used.
//
// What names there are:
//
//	service.namespace.svc.DOMAIN             A, AAAA: cluster IPs, or a headless service's endpoints
//	hostname.service.namespace.svc.DOMAIN    A, AAAA: an endpoint; its address with dashes where it has no host name
//	_port._proto.service.namespace.svc.DOMAIN  SRV
//	1-2-3-4.namespace.pod.DOMAIN             A, AAAA: the address, unverified
//	dns-version.DOMAIN                       TXT: the version of the specification
//	4.3.2.1.in-addr.arpa, ….ip6.arpa         PTR: cluster IPs and endpoints
//
// A service of type ExternalName is a CNAME, and what it leads to is answered
// with it. A name that is not there is answered with the zone's SOA, so that
// clients may remember it for as long.
package dns
