// Conformance runs the upstream conformance suite, unmodified, against Proa.
//
// It is a module of its own, because the suite is k8s.io/kubernetes, of which
// nothing may enter the product. It pins what upstream's release pins, so the
// suite is built as upstream builds it.
//
//	programs/  builds the suite and upstream's programs, once per version
//	images/    makes the images that the suite asks for, under their own names
//	registry/  serves them, for tests that pull
//	cluster/   a Proa in a network namespace of its own, with those images
//	suite/     lists the tests and runs each in a process and within a time
//	report/    the results: junit, docs/conformance.md, passing.txt
//
// A test is never skipped, retried or changed to make it pass. passing.txt lists
// those that are known to pass; one of them that fails makes the run fail. Names
// are added to the list with -update, and leave it only by hand.
package main
