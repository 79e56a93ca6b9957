// Package check holds the validation rules that kinds of many groups share:
// names, labels, quantities, resource names, addresses, ports, node selectors,
// tolerations and object references.
//
// Rules return field errors with upstream's path, type and wording, in
// upstream's order, since clients show them and tests of the ecosystem compare
// them. They are pure, never change their arguments and accept any value,
// valid or not, without a panic. Rules that k8s.io/apimachinery already has are
// used from there directly.
package check
