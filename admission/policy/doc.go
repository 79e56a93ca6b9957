// Package policy is the plugins MutatingAdmissionPolicy and
// ValidatingAdmissionPolicy: it changes and refuses what is written by CEL
// expressions, in this process.
//
// A policy says what is to hold, or to be changed, of which writes. It takes
// effect through its bindings, each of which may be about fewer writes, may name
// parameters, and says what a violation leads to. One write meets a policy once
// for each binding that matches and each of its parameters:
//
//	policies ─┐
//	          ├▶ match ─▶ parameters ─▶ match conditions ─▶ expressions ─▶ verdict
//	bindings ─┘
//
// Policies are compiled once per object (package derived). An expression that
// fails, or costs too much, counts by the policy's failure policy. So does a
// policy that cannot be put into effect, for its kind of parameters is not
// served, say.
//
// No policy is about the configuration of admission itself.
package policy
