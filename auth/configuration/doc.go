// Package configuration says who is let in and who decides, as an operator writes
// it down: an AuthenticationConfiguration and an AuthorizationConfiguration
// (apiserver.config.k8s.io/v1), or upstream's classic flags, which are turned into
// the same.
//
// Both files are followed while the server runs. What is new comes into force as a
// whole, and only when it is sound: every expression compiles, every kubeconfig can
// be read, every new issuer has been found. Otherwise the error is logged and what
// was in force stays so.
//
//	who   service accounts, bootstrap tokens, [Authentication] (issuers of JWTs, a
//	      webhook), and at last nobody where conditions allow it
//	may   system:masters, then the authorizers in the order of [Authorization]
package configuration
