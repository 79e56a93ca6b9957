package core

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func validatePod(p *corev1.Pod) field.ErrorList {
	return ValidatePodSpec(&p.Spec, field.NewPath("spec"), PodSpecOptions{})
}

func validatePodUpdate(p, old *corev1.Pod) field.ErrorList { return validatePod(p) }

func validatePodStatusUpdate(p, old *corev1.Pod) field.ErrorList { return nil }

func validatePodEphemeralContainersUpdate(p, old *corev1.Pod) field.ErrorList { return nil }

func validatePodResize(p, old *corev1.Pod) field.ErrorList { return validatePod(p) }

func podWarnings(p, old *corev1.Pod) []string { return nil }

func syncAppArmor(p *corev1.Pod) {}
