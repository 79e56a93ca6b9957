// Package nodetaint is the admission plugin TaintNodesByCondition: a new node
// takes no pods before it has been seen to be ready.
package nodetaint

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"proa/admission"
	"proa/resource"
)

// Plugin is the admission plugin.
type Plugin struct{}

// New makes the plugin.
func New() *Plugin { return &Plugin{} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "TaintNodesByCondition" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return op == admission.Create && subresource == "" && admission.Is(def, "", "nodes")
}

// Mutate implements [admission.Mutator].
func (*Plugin) Mutate(_ context.Context, a *admission.Attributes) error {
	node, ok := a.Object.(*corev1.Node)
	if !ok {
		return nil
	}
	taint := corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}
	if !slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.MatchTaint(&taint) }) {
		node.Spec.Taints = append(node.Spec.Taints, taint)
	}
	return nil
}
