// Package images makes the images that Proa brings along, so that a machine
// that reaches no registry runs pods:
//
//   - proa.local/pause:1 holds a pod's namespaces (pause/, a few hundred bytes);
//   - proa.local/hello:1 and :2 are the web server of the examples (hello/) with
//     busybox beside it, so that kubectl exec, cp and a shell work in it. The two
//     versions differ in what they call themselves. The same program is the guest
//     book of the examples, and its store.
//
// The programs are built by make into bin/ and are not in the repository.
// [Build] packs them into archives in a cache directory; runtime/images brings
// those into a container runtime.
package images
