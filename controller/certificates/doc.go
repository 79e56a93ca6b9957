// Package certificates holds the three controllers of certificate signing
// requests:
//
//	approving  approves what nodes need to come and to stay
//	signing    issues what has been approved, for the signers kubernetes.io/…
//	cleaner    deletes requests that are over
//
// # What is approved
//
// A client certificate for a node (signer kube-apiserver-client-kubelet) is
// approved where policy says so, by upstream's rules: who may create
// certificatesigningrequests/selfnodeclient gets one for the node that it is
// already, and who may create certificatesigningrequests/nodeclient gets one
// for any node.
//
// Differently from upstream, the serving certificate of a node (signer
// kubelet-serving) is approved as well, if the node itself asks and the
// certificate is for nothing but the node's own name and the addresses that
// its Node object shows. The nodes of Proa serve with such certificates, so
// that logs and exec are verified end to end, and nobody would be there to
// approve them. A node says by itself what its addresses are. Therefore names
// other than the node's are not approved, nor addresses that another node or
// the API server's service has, and such requests wait for a person, as all of
// them do upstream.
//
// # What is signed
//
// Only what has been approved, by whomever, and only what is within the rules
// of its signer; a request that is not fails for good, with the reason in its
// condition. Other signers than the four of kubernetes.io are not touched.
package certificates
