// Package expression compiles and evaluates the CEL expressions of admission:
// match conditions of webhooks, and the validations, messages, annotations,
// variables and mutations of policies.
//
// The language, its function libraries and what they cost are those of
// k8s.io/apiserver/pkg/cel; here is what admission adds: which variables an
// expression sees, what it may return, and how a budget is spent.
//
//	object, oldObject   the object, null where there is none
//	request             the AdmissionRequest, without its objects
//	namespaceObject     the namespace, null for what lies in none
//	params              the parameters, for policies that have some
//	authorizer          asks what the user may do
//	variables           the variables of the policy, computed when first read
//
// A [Compiler] is made for one policy; [Plain] is that for expressions that
// stand alone. A [Program] is compiled once and safe for concurrent use. It is
// evaluated in a [Scope], which belongs to one request and holds what is left
// of the budget.
//
// Nothing is built before the first expression is compiled, so that a cluster
// without any pays nothing.
package expression
