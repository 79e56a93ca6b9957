// Package identity keeps the certificate by which a node is known to the API
// server, and replaces it before it expires, as upstream's kubelet does with
// rotateCertificates.
//
// The first certificate is the kubeconfig's. When 70 to 90 % of its life are
// over, the node asks for another by a CertificateSigningRequest for the signer
// kubernetes.io/kube-apiserver-client-kubelet, which the controllers of a cluster
// approve for a node that already is who it asks to be. The newest is kept in
// kubelet-client-current.pem, and counts from then on unless a newer one is put
// into the kubeconfig.
//
// A replacement drops no connection: requests that begin after it go by new
// connections with the new certificate ([Identity.Access]); those that are under
// way, watches among them, come to their own end, and their connection with them.
package identity
