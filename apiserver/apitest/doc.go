// Package apitest runs a real API server in a test: the whole request path with
// every builtin resource, over a store in memory. It starts in milliseconds,
// and ends with the test.
//
//	env := apitest.Start(t)
//	pods, err := env.Admin.CoreV1().Pods("default").List(ctx, metav1.ListOptions{})
//
// Clients reach it in process ([Env.Clients]) or, for what needs a wire, over
// TLS ([Env.Config]).
package apitest
