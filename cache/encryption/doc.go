// Package encryption encrypts what is kept in the store, as an
// EncryptionConfiguration (apiserver.config.k8s.io/v1) says, in upstream's form:
// with the same configuration an upstream API server reads what Proa has written,
// and Proa what that one has.
//
//	object ─ encode ─▶ plain ─ first provider of its resource ─▶ k8s:enc:… ─▶ store
//	object ◀─ decode ─ plain ◀─ the provider whose prefix fits ◀─ k8s:enc:… ◀─ store
//
// The first rule that names a resource, or a wildcard over it, holds; what none
// names is stored in the clear, and values that are encrypted nevertheless are
// refused. A value that another than the first provider can read is stale: the
// cache writes it again at the next update, although nothing else changes. That
// is how keys are rotated:
//
//  1. Add the new key behind the present one, so that all servers can read it.
//  2. Put it first, so that they write it.
//  3. Rewrite everything: kubectl get secrets -A -o json | kubectl replace -f -
//  4. Remove the old key.
//
// # Providers
//
// identity, secretbox, aescbc and aesgcm take their keys from the file. kms (v2)
// leaves the key to a plugin on a unix socket: the plugin encrypts a random seed,
// from which a key of each value is derived, and which is kept beside the value.
// The plugin is asked for its state every minute, and every ten seconds while
// something is wrong with it, since it tells of nothing by itself. While it does
// not answer, known seeds go on to work: for reading until the process ends, for
// writing for three minutes.
//
// # The file
//
// [Ensure] writes the file of a new cluster: secretbox for Secrets, with a key of
// its own, and everything else in the clear. The file must be kept as carefully,
// and as long, as the data. [Encryption] can follow it ([Options].Reload). Values
// that could not be read before are read again when it changes, and when a plugin
// comes back ([Encryption.Notify]).
//
// What no key opens is reported as corrupt by the cache, with an error that says
// which provider it needs; everything else goes on to work.
package encryption
