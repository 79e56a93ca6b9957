// Package interchange shows that the parts of a cluster meet only at the API:
// each part of Proa can be exchanged for its upstream counterpart, and each of
// upstream's for Proa's.
//
// A row of the matrix says who makes each part. For every row the test starts
// the parts as processes of their own (an etcd, API server, controllers,
// scheduler, kubelet and service proxy, each with its own identity), lets a user
// work on it with the machine's kubectl and real containers, and removes
// everything again (test/parts). The user's work is one script for all rows
// (script_test.go).
//
// Another test runs the scripts of API behaviour (test/scripts), and the table of
// bad input, against upstream's API server: what Proa's is held to is what
// upstream's does ("make compare").
//
// A third sends both API servers the same objects, thousands of them made at
// random by upstream's schemas, and compares verdicts, messages and defaults
// (twins_test.go, also "make compare").
//
// The last writes objects of every kind with one API server, stops it, and
// reads them with the other over the same etcd (portable_test.go).
//
//	go test ./test/interchange       the row that is Proa's alone
//	make interchange                 builds upstream's programs and runs all rows,
//	                                 and writes docs/interchange.md
//
// Upstream's programs are found in the folder that PROA_UPSTREAM_BIN_DIR names.
// The test runs in a network namespace of its own, so ports and interfaces are
// its own as well (room_test.go).
package interchange
