// Package scripts tests the API as clients see it, by scripts of kubectl
// commands that run against any API server: Proa's own, in process and whole, or
// the one that PROA_TEST_KUBECONFIG names, so that upstream can settle an argument.
// No controller runs beside it; scripts write what one would.
//
// A script is a file testdata/*.txtar. It runs in a namespace of its own, which
// is the default of its kubeconfig and its variable NS. Beside kubectl (built
// into the test, so that nothing need be installed) it may use the commands of
// testscript, such as stdout and stderr, which match what the last command
// wrote. See https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript.
//
// The command ask sends one request as it is, and prints the code, the warnings
// and the body of what comes back (ask_test.go). The command keep keeps what the
// last one wrote in a variable. "make compare" runs everything
// against upstream's server.
//
// What no client would send (badcases_test.go) is sent over the network as it
// is, and answered as upstream's server answered when testdata/bad.json was
// recorded from it (the flag -record does that again). Where an answer is
// another on purpose, differences_test.go says why.
package scripts
