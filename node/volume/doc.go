// Package volume puts a pod's volumes on disk, keeps them fresh and takes them
// away again.
//
// [Manager.Setup] is called on every sync of a pod and brings every volume to
// what pod and sources say now; each kind has one file and is a function from
// a job (the pod, one volume, the manager's doors) to where the volume is.
// Directories lie where upstream's kubelet has them,
// <root>/pods/<uid>/volumes/kubernetes.io~<kind>/<name>, so that tools, and an
// upstream kubelet started on the same root, find them.
//
// What is made from API objects (configMap, secret, downwardAPI, projected) is
// replaced atomically when a watch tells of a change or a token nears its end:
// the Manager's queue holds the pod, not the change, and does the same Setup.
// Nothing is polled.
//
// There is no state but the disk. A killed agent finds again what it made by
// looking: whether a directory is a mount point, whether a volume's marker says
// ready, what ..data leads to. [Manager.TearDown] needs no memory of the pod
// either: it unmounts whatever is below the pod's directory and removes it by
// file descriptor, following no link and crossing no mount.
package volume
