// Package podtopology is the admission plugin PodTopologyLabels: a pod gets
// the zone and region of its node as labels when it is bound, so that it can
// know them by the downward API.
package podtopology

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/admission"
	"proa/resource"
)

// Nodes finds nodes.
type Nodes interface {
	Node(ctx context.Context, name string) (*corev1.Node, error)
}

// Plugin is the admission plugin.
type Plugin struct{ nodes Nodes }

// New makes the plugin.
func New(n Nodes) *Plugin { return &Plugin{n} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "PodTopologyLabels" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	return op == admission.Create && (admission.Is(def, "", "pods") && (subresource == "" || subresource == "binding") ||
		admission.Is(def, "", "bindings") && subresource == "")
}

// Mutate implements [admission.Mutator].
func (p *Plugin) Mutate(ctx context.Context, a *admission.Attributes) error {
	switch o := a.Object.(type) {
	case *corev1.Pod:
		if o.Spec.NodeName != "" {
			return p.label(ctx, o.Spec.NodeName, &o.Labels)
		}
	case *corev1.Binding:
		// The scheduler says "Node"; anything else is not understood.
		if o.Target.Kind == "Node" {
			return p.label(ctx, o.Target.Name, &o.Labels)
		}
	}
	return nil
}

func (p *Plugin) label(ctx context.Context, node string, labels *map[string]string) error {
	n, err := p.nodes.Node(ctx, node)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, k := range []string{corev1.LabelTopologyZone, corev1.LabelTopologyRegion} {
		v, ok := n.Labels[k]
		if !ok {
			continue
		}
		if *labels == nil {
			*labels = map[string]string{}
		}
		(*labels)[k] = v
	}
	return nil
}
