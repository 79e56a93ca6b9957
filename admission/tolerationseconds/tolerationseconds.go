// Package tolerationseconds is the admission plugin DefaultTolerationSeconds:
// a pod that says nothing about nodes that stop answering stays on such a node
// for five minutes.
package tolerationseconds

import (
	"context"

	corev1 "k8s.io/api/core/v1"

	"proa/admission"
	"proa/resource"
)

// DefaultSeconds is how long pods stay unless configured otherwise.
const DefaultSeconds = 300

// Plugin is the admission plugin.
type Plugin struct{ notReady, unreachable int64 }

// New makes the plugin, given how many seconds a pod tolerates a node that is
// not ready and one that is unreachable.
func New(notReady, unreachable int64) *Plugin { return &Plugin{notReady, unreachable} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "DefaultTolerationSeconds" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return subresource == "" && (op == admission.Create || op == admission.Update) && admission.Is(def, "", "pods")
}

// Mutate implements [admission.Mutator].
func (p *Plugin) Mutate(_ context.Context, a *admission.Attributes) error {
	pod, ok := a.Object.(*corev1.Pod)
	if !ok {
		return nil
	}
	said := func(key string) bool {
		for _, t := range pod.Spec.Tolerations {
			if (t.Key == key || t.Key == "") && (t.Effect == corev1.TaintEffectNoExecute || t.Effect == "") {
				return true
			}
		}
		return false
	}
	// Both are judged before either is added.
	notReady, unreachable := said(corev1.TaintNodeNotReady), said(corev1.TaintNodeUnreachable)
	add := func(key string, seconds int64) {
		pod.Spec.Tolerations = append(pod.Spec.Tolerations, corev1.Toleration{
			Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &seconds,
		})
	}
	if !notReady {
		add(corev1.TaintNodeNotReady, p.notReady)
	}
	if !unreachable {
		add(corev1.TaintNodeUnreachable, p.unreachable)
	}
	return nil
}
