package ingressclass

import (
	"context"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/resource"
)

type classes []*networkingv1.IngressClass

func (c classes) IngressClasses(context.Context) ([]*networkingv1.IngressClass, error) { return c, nil }

func TestPlugin(t *testing.T) {
	t.Parallel()
	def := &resource.Definition{Storage: networkingv1.SchemeGroupVersion, Plural: "ingresses"}
	c := classes{
		{ObjectMeta: metav1.ObjectMeta{Name: "a"}},
		{ObjectMeta: metav1.ObjectMeta{Name: "c", Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}}},
		{ObjectMeta: metav1.ObjectMeta{Name: "b", Annotations: map[string]string{networkingv1.AnnotationIsDefaultIngressClass: "true"}}},
	}
	run := func(c classes, in *networkingv1.Ingress) string {
		t.Helper()
		if _, err := admissiontest.Run(t.Context(), New(c), &admission.Attributes{Operation: admission.Create, Definition: def, Object: in}); err != nil {
			t.Fatal(err)
		}
		return ptr.Deref(in.Spec.IngressClassName, "-")
	}
	if got := run(c, &networkingv1.Ingress{}); got != "b" {
		t.Errorf("default: %s", got)
	}
	if got := run(c[:1], &networkingv1.Ingress{}); got != "-" {
		t.Errorf("no default: %s", got)
	}
	if got := run(c, &networkingv1.Ingress{Spec: networkingv1.IngressSpec{IngressClassName: ptr.To("a")}}); got != "a" {
		t.Errorf("named: %s", got)
	}
	if got := run(c, &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{legacyAnnotation: "x"}}}); got != "-" {
		t.Errorf("annotated: %s", got)
	}
}
