package check

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// QuantityNonNegative refuses amounts below zero.
func QuantityNonNegative(q resource.Quantity, at *field.Path) field.ErrorList {
	if q.Sign() < 0 {
		return field.ErrorList{field.Invalid(at, q.String(), IsNegative)}
	}
	return nil
}

// QuantityPositive refuses amounts that are not above zero.
func QuantityPositive(q resource.Quantity, at *field.Path) field.ErrorList {
	if q.Sign() <= 0 {
		return field.ErrorList{field.Invalid(at, q.String(), NotZero)}
	}
	return nil
}

// Quantity checks an amount of a resource: not negative, and whole where the
// resource is counted in pieces.
func Quantity(name corev1.ResourceName, q resource.Quantity, at *field.Path) field.ErrorList {
	errs := QuantityNonNegative(q, at)
	if IsIntegerResource(name) && q.MilliValue()%1000 != 0 {
		errs = append(errs, field.Invalid(at, q, NotInteger))
	}
	return errs
}

// IsIntegerResource reports whether a resource comes in whole pieces only.
func IsIntegerResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourceConfigMaps, corev1.ResourcePersistentVolumeClaims,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return IsExtendedResource(name)
}

// IsHugePages reports whether the resource is a size of huge pages.
func IsHugePages(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix)
}

// IsNative reports whether a name belongs to the system: it has no domain, or
// one of kubernetes.io.
func IsNative(name string) bool {
	return !strings.Contains(name, "/") || strings.Contains(name, corev1.ResourceDefaultNamespacePrefix)
}

// IsExtendedResource reports whether a name is one that a device plugin or an
// operator may advertise.
func IsExtendedResource(name corev1.ResourceName) bool {
	if IsNative(string(name)) || strings.HasPrefix(string(name), corev1.DefaultResourceRequestsPrefix) {
		return false
	}
	// It must be usable in a quota, with the prefix of one.
	return len(validation.IsQualifiedName(corev1.DefaultResourceRequestsPrefix+string(name))) == 0
}

// IsAttachableVolumes reports whether the resource counts attached volumes.
func IsAttachableVolumes(name corev1.ResourceName) bool {
	return strings.HasPrefix(string(name), corev1.ResourceAttachableVolumesPrefix)
}

// IsOvercommitAllowed reports whether limits may exceed requests.
func IsOvercommitAllowed(name corev1.ResourceName) bool {
	return IsNative(string(name)) && !IsHugePages(name)
}

// IsStandardContainerResource reports whether the system itself gives
// containers this resource.
func IsStandardContainerResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage:
		return true
	}
	return IsHugePages(name)
}

// IsStandardQuotaResource reports whether a quota counts this by itself.
func IsStandardQuotaResource(name corev1.ResourceName) bool {
	switch name {
	case corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage,
		corev1.ResourceRequestsCPU, corev1.ResourceRequestsMemory, corev1.ResourceRequestsStorage, corev1.ResourceRequestsEphemeralStorage,
		corev1.ResourceLimitsCPU, corev1.ResourceLimitsMemory, corev1.ResourceLimitsEphemeralStorage,
		corev1.ResourcePods, corev1.ResourceQuotas, corev1.ResourceServices, corev1.ResourceReplicationControllers,
		corev1.ResourceSecrets, corev1.ResourcePersistentVolumeClaims, corev1.ResourceConfigMaps,
		corev1.ResourceServicesNodePorts, corev1.ResourceServicesLoadBalancers:
		return true
	}
	return IsHugePages(name) || strings.HasPrefix(string(name), corev1.ResourceRequestsHugePagesPrefix)
}

// IsStandardResource reports whether the name, which has no domain, is one
// that the system knows.
func IsStandardResource(name corev1.ResourceName) bool {
	return IsStandardQuotaResource(name) || name == corev1.ResourceStorage || name == corev1.ResourceRequestsStorage
}
