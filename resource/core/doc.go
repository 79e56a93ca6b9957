// Package core holds the rows of the core/v1 group: one file per kind, named
// after it, and beside them what the kinds share.
//
// The largest shared part is the pod spec, which every workload kind contains:
//
//   - [DefaultPodSpec] completes it, as upstream's defaulting of v1 does;
//   - [ValidatePodTemplateSpec] checks it inside a template, [ValidatePod]
//     inside a pod. What an object that is stored already may go on using is
//     said by [PodSpecOptions], made of it by [TemplateOptions];
//   - [DropDisabledTemplateFields] clears fields whose feature is off by
//     default in this release, and podspec_features.go lists those;
//   - [PodTemplateWarnings] says what a client should know without being
//     refused;
//   - [QOSClass] is the class of service that follows from a pod's resources.
//
// Files named podspec_*.go, container_*.go and volume_*.go hold these; none of
// them knows of a kind. A file kind_validate.go holds the rules of a kind,
// kind_strategy.go what a write may touch, where kind.go would grow too long.
//
// # Wording
//
// Paths, types, values, messages and order of errors are upstream's, where they
// are odd too: such places say so. Maps are visited in order, where upstream's
// order is random. Rules take any object, also one that was never defaulted.
package core
