// Package podsecurity is the admission plugin PodSecurity: the labels of a
// namespace say which of the three pod security standards its pods must meet,
// and which they are warned or noted for.
//
// The standards, and how labels are read, are upstream's library; this package
// is its shell.
package podsecurity

import (
	"context"
	"errors"
	"fmt"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	psa "k8s.io/pod-security-admission/admission"
	psaconfig "k8s.io/pod-security-admission/admission/api"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"proa/admission"
	"proa/resource"
)

// Objects finds namespaces and what runs in them.
type Objects interface {
	Namespace(ctx context.Context, name string) (*corev1.Namespace, error)
	// Pods lists the pods of a namespace.
	Pods(ctx context.Context, namespace string) ([]*corev1.Pod, error)
}

// Plugin is the admission plugin.
type Plugin struct{ library *psa.Admission }

// New makes the plugin. Namespaces without labels are privileged.
func New(o Objects) (*Plugin, error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, fmt.Errorf("pod security standards: %w", err)
	}
	const level, latest = string(api.LevelPrivileged), api.VersionLatest
	a := &psa.Admission{
		Configuration: &psaconfig.PodSecurityConfiguration{Defaults: psaconfig.PodSecurityDefaults{
			Enforce: level, EnforceVersion: latest, Audit: level, AuditVersion: latest, Warn: level, WarnVersion: latest,
		}},
		Evaluator:        evaluator,
		Metrics:          unmeasured{},
		PodSpecExtractor: psa.DefaultPodSpecExtractor{},
		NamespaceGetter:  namespaces{o},
		PodLister:        pods{o},
	}
	if err := a.CompleteConfiguration(); err != nil {
		return nil, fmt.Errorf("pod security configuration: %w", err)
	}
	if err := a.ValidateConfiguration(); err != nil {
		return nil, fmt.Errorf("pod security configuration: %w", err)
	}
	return &Plugin{a}, nil
}

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "PodSecurity" }

// Handles implements [admission.Plugin].
func (p *Plugin) Handles(op admission.Operation, def *resource.Definition, _ string) bool {
	if op != admission.Create && op != admission.Update {
		return false
	}
	return admission.Is(def, "", "namespaces") || admission.Is(def, "", "pods") ||
		p.library.PodSpecExtractor.HasPodSpec(def.GroupResource())
}

// Validate implements [admission.Validator].
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	r := p.library.Validate(ctx, attributes{a})
	for _, w := range r.Warnings {
		a.Warn(w)
	}
	if r.Allowed {
		return nil
	}
	refusal := apierrors.NewForbidden(a.GroupResource(), a.ObjectName(), errors.New("Not allowed by PodSecurity"))
	if s := r.Result; s != nil {
		to := &refusal.ErrStatus
		if s.Message != "" {
			to.Message = s.Message
		}
		if s.Reason != "" {
			to.Reason = s.Reason
		}
		if s.Details != nil {
			to.Details = s.Details
		}
		if s.Code != 0 {
			to.Code = s.Code
		}
		if s.Status != "" {
			to.Status = s.Status
		}
	}
	return refusal
}

type namespaces struct{ Objects }

func (n namespaces) GetNamespace(ctx context.Context, name string) (*corev1.Namespace, error) {
	return n.Namespace(ctx, name)
}

type pods struct{ Objects }

func (p pods) ListPods(ctx context.Context, namespace string) ([]*corev1.Pod, error) {
	return p.Pods(ctx, namespace)
}

// attributes shows a request to the library.
type attributes struct{ a *admission.Attributes }

func (x attributes) GetName() string { return x.a.ObjectName() }

func (x attributes) GetNamespace() string {
	if admission.Is(x.a.Definition, "", "namespaces") {
		return x.a.ObjectName()
	}
	return x.a.Namespace
}

func (x attributes) GetResource() schema.GroupVersionResource {
	return x.a.Definition.Storage.WithResource(x.a.Definition.Plural)
}

func (x attributes) GetKind() schema.GroupVersionKind { return x.a.Definition.GroupVersionKind() }
func (x attributes) GetSubresource() string           { return x.a.Subresource }

func (x attributes) GetOperation() admissionv1.Operation {
	return admissionv1.Operation(x.a.Operation)
}

func (x attributes) GetObject() (runtime.Object, error)    { return x.a.Object, nil }
func (x attributes) GetOldObject() (runtime.Object, error) { return x.a.Old, nil }

func (x attributes) GetUserName() string {
	if x.a.User == nil {
		return ""
	}
	return x.a.User.Name
}
