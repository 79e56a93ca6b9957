// Package images makes the images that the suite asks for, under the names it
// asks for: from programs of the suite's own release and from Debian packages.
//
// Where upstream builds on Alpine, these build on busybox, as Alpine does; what
// Alpine installs beside it comes from Debian. An image's entry point, command,
// user, ports and accounts are upstream's, for tests depend on them.
//
// All images go into one archive, in which each layer is once.
package images
