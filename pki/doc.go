// Package pki is a cluster's own public-key infrastructure, kept in one
// directory under the names that kubeadm uses: a certificate authority for
// servers and clients (ca), one for the front proxy (front-proxy-ca), the key
// that signs service-account tokens (sa), and the leaf certificates of the
// parts.
//
// [Open] loads what is there and makes what is missing. [Authority.Leaf] does
// the same for one certificate, and [Authority.Run] renews every leaf that was
// asked for before it expires. TLS configurations made here look the
// certificate up at each handshake, so a renewal needs no restart.
//
// # What can be lost
//
// The keys of the authorities and the token key are the identity of a cluster:
// they are written once, synced to the disk before use, and never replaced; a
// damaged one is an error that names the file. Everything else can be made
// again from them. A leaf that is missing, damaged, expired, not yet valid (the
// clock went back), signed by a former authority or made for other hosts is
// issued again at [Authority.Leaf], so none of these can stop a start. The
// certificate of an authority is renewed with the same key long before it
// ends; certificates issued under the former one stay valid.
package pki
