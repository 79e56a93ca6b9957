// Package dns answers the names of a cluster on one node, by the DNS
// specification of Kubernetes, version 1.1.0, and passes all others on.
//
//		query ─▶ Zone.Answer ──(not in the cluster's domain)──▶ cache ─▶ forward
//
//	  - [Zone.Answer] is pure: from a question and the objects of the cluster to
//	    records. It keeps no index of its own; the informers that the node has
//	    anyway are indexed by service and by address. It goes on answering from
//	    them while the control plane is down.
//	  - forward asks the name servers of the node's resolv.conf in turn. Answers
//	    are kept for as long as they say, and at most [maxCached] of them.
//	  - [Server] listens on the cluster's DNS address, which the node gives itself
//	    on its loopback interface: the answer takes no hop, and nothing is open to
//	    the outside that was not before.
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
