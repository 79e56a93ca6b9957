// Package images makes container images without a registry, and brings them to
// a container runtime.
//
// [Image] describes an image as a list of files and a configuration, and
// [Image.WriteArchive] writes it as an OCI image-layout tar. The same input
// gives the same bytes: no times, no users, no compression whose output depends
// on a library's version, entries in path order. Layers are left uncompressed,
// because they go from one local disk to the same one.
//
// [Store] is a connection to a containerd, embedded or not. [Store.Import]
// reads archives of both kinds that exist in practice (docker save, OCI image
// layout), keeps the images under their names in the namespace CRI looks at,
// unpacks their layers, and returns when CRI lists them. [Store.Ensure] does the
// same for a file of a single image and does nothing when that very image is
// there, so that it costs nothing to call at every start.
package images
