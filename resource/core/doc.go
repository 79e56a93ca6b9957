// Package core holds the rows of the core/v1 group: one file per kind, named
// after it, and beside them what the kinds share.
//
// The largest shared part is the pod spec, which every workload kind contains:
//
//   - [DefaultPodSpec] completes it, as upstream's defaulting of v1 does;
//   - [ValidatePodTemplateSpec] checks it inside a template, [ValidatePodSpec]
//     inside a pod; both take [PodSpecOptions], which say what an object that
//     is stored already may go on using;
//   - [DropDisabledTemplateFields] clears fields whose feature is off by
//     default;
//   - [PodTemplateWarnings] says what a client should know without being
//     refused.
//
// Files named podspec_*.go, container_*.go and volume_*.go hold these; none of
// them knows of a kind.
package core
