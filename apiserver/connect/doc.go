// Package connect is the contract of subresources and virtual resources that
// the API server answers with a function of its own, rather than by reading or
// writing the object they hang on: log, exec, attach, portforward, proxy,
// binding, eviction, token, and the reviews of package authorization and
// authentication.
//
// The request path has done its part when a function is called: the caller is
// authenticated and authorized, the body is decoded, defaulted and admitted.
// Functions are given to the server in a [Registry]; there is no other way to
// add one.
package connect
