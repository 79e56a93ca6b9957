package admissionregistration

import (
	arv1 "k8s.io/api/admissionregistration/v1"
	arv1beta1 "k8s.io/api/admissionregistration/v1beta1"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/resource"
)

// In v1beta1 upstream stores mutating policies and their bindings to this day,
// though it does not serve it by default.

func mutatingPolicyV1beta1() resource.Version[*arv1.MutatingAdmissionPolicy] {
	return resource.Alike(arv1beta1.SchemeGroupVersion,
		func() *arv1.MutatingAdmissionPolicy { return new(arv1.MutatingAdmissionPolicy) },
		func() *arv1beta1.MutatingAdmissionPolicy { return new(arv1beta1.MutatingAdmissionPolicy) },
		func() runtime.Object { return new(arv1beta1.MutatingAdmissionPolicyList) })
}

func mutatingPolicyBindingV1beta1() resource.Version[*arv1.MutatingAdmissionPolicyBinding] {
	return resource.Alike(arv1beta1.SchemeGroupVersion,
		func() *arv1.MutatingAdmissionPolicyBinding { return new(arv1.MutatingAdmissionPolicyBinding) },
		func() *arv1beta1.MutatingAdmissionPolicyBinding { return new(arv1beta1.MutatingAdmissionPolicyBinding) },
		func() runtime.Object { return new(arv1beta1.MutatingAdmissionPolicyBindingList) })
}
