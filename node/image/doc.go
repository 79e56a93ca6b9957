// Package image makes sure that a container's image is on the node before the
// container is created, and removes images nobody uses when the disk fills.
//
// [Manager.Ensure] is called by a pod's own goroutine, as often as it likes:
// presence, pull policy, credentials, the limit on parallel pulls and the
// back-off (10 s doubling to 5 min, per pod and image) are decided here, and a
// failure comes back as the waiting reason and message that upstream's kubelet
// shows. Credentials are matched to the image's repository by [Keyring] and go
// to the runtime only; they are never logged.
//
// [Collector] frees disk space between two thresholds. It looks when told that
// something was pulled, and otherwise only every few minutes.
package image
