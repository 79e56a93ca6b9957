package devices

import (
	resourcev1 "k8s.io/api/resource/v1"
	metavalidation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/dynamic-resource-allocation/structured"

	"proa/resource/check"
)

// deviceID is a device, or a share of one.
type deviceID = structured.SharedDeviceID

// allocated are the devices that a claim has been given.
func allocated(a *resourcev1.AllocationResult) map[deviceID]bool {
	out := map[deviceID]bool{}
	if a == nil {
		return out
	}
	for _, r := range a.Devices.Results {
		out[structured.MakeSharedDeviceID(structured.MakeDeviceID(r.Driver, r.Pool, r.Device), r.ShareID)] = true
	}
	return out
}

// reported is the device that a driver speaks of.
func reported(d *resourcev1.AllocatedDeviceStatus) deviceID {
	return structured.MakeSharedDeviceID(structured.MakeDeviceID(d.Driver, d.Pool, d.Device), (*types.UID)(d.ShareID))
}

// validateClaimStatus checks what was given to a claim, by whom it is used, and
// what drivers say of it. What was given does not change; it can be taken back.
func validateClaimStatus(c, old *resourcev1.ResourceClaim) field.ErrorList {
	s, was, at := &c.Status, &old.Status, field.NewPath("status")
	errs := set(s.ReservedFor, resourcev1.ResourceClaimReservedForMaxSize, validateConsumer,
		func(r resourcev1.ResourceClaimConsumerReference) types.UID { return r.UID }, at.Child("reservedFor"))
	given := allocated(s.Allocation)
	errs = append(errs, set(s.Devices, unlimited, func(d resourcev1.AllocatedDeviceStatus, at *field.Path) field.ErrorList {
		return validateReport(&d, given, at)
	}, func(d resourcev1.AllocatedDeviceStatus) deviceID { return reported(&d) }, at.Child("devices"))...)
	if len(s.ReservedFor) > 0 {
		switch {
		case s.Allocation == nil:
			errs = append(errs, field.Forbidden(at.Child("reservedFor"), "may not be specified when `allocated` is not set"))
		case c.DeletionTimestamp != nil && joined(s.ReservedFor, was.ReservedFor):
			errs = append(errs, field.Forbidden(at.Child("reservedFor"), "new entries may not be added while `deallocationRequested` or `deletionTimestamp` are set"))
		}
	}
	switch {
	case s.Allocation == nil:
	case was.Allocation != nil:
		errs = append(errs, immutable(s.Allocation, was.Allocation, at.Child("allocation"))...)
	default:
		errs = append(errs, validateAllocation(s.Allocation, namesOf(&c.Spec.Devices), at.Child("allocation"))...)
	}
	return errs
}

// joined reports whether somebody uses the claim who did not.
func joined(now, was []resourcev1.ResourceClaimConsumerReference) bool {
	before := map[resourcev1.ResourceClaimConsumerReference]bool{}
	for _, r := range was {
		before[r] = true
	}
	for _, r := range now {
		if !before[r] {
			return true
		}
	}
	return false
}

func validateConsumer(r resourcev1.ResourceClaimConsumerReference, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, f := range []struct{ name, value string }{{"resource", r.Resource}, {"name", r.Name}, {"uid", string(r.UID)}} {
		if f.value == "" {
			errs = append(errs, field.Required(at.Child(f.name), ""))
		}
	}
	return errs
}

// validateAllocation checks what is given to a claim that had nothing.
func validateAllocation(a *resourcev1.AllocationResult, names requestNames, at *field.Path) field.ErrorList {
	devices := at.Child("devices")
	errs := list(a.Devices.Results, resourcev1.AllocationResultsMaxSize, func(r resourcev1.DeviceRequestAllocationResult, at *field.Path) field.ErrorList {
		errs := names.reference(r.Request, at.Child("request"))
		errs = append(errs, validateID(r.Driver, r.Pool, r.Device, at)...)
		errs = append(errs, bindingConditions(r.BindingConditions, r.BindingFailureConditions, at)...)
		if r.ShareID != nil {
			errs = append(errs, uidForm(string(*r.ShareID), at.Child("shareID"))...)
		}
		return errs
	}, devices.Child("results"))
	errs = append(errs, list(a.Devices.Config, 2*resourcev1.DeviceConfigMaxSize, func(c resourcev1.DeviceAllocationConfiguration, at *field.Path) field.ErrorList {
		var errs field.ErrorList
		if c.Source == "" {
			errs = append(errs, field.Required(at.Child("source"), ""))
		} else {
			errs = append(errs, check.OneOf(c.Source, []resourcev1.AllocationConfigSource{
				resourcev1.AllocationConfigSourceClaim, resourcev1.AllocationConfigSourceClass,
			}, at.Child("source"))...)
		}
		errs = append(errs, names.references(c.Requests, at.Child("requests"))...)
		return append(errs, validateConfiguration(c.DeviceConfiguration, false, at)...)
	}, devices.Child("config"))...)
	if a.NodeSelector != nil {
		errs = append(errs, check.NodeSelector(a.NodeSelector, false, at.Child("nodeSelector"))...)
	}
	return errs
}

// validateID checks what names a device.
func validateID(driver, pool, device string, at *field.Path) field.ErrorList {
	errs := check.CSIDriverName(driver, at.Child("driver"))
	errs = append(errs, poolName(pool, at.Child("pool"))...)
	return append(errs, check.Label(device, at.Child("device"))...)
}

// validateReport checks what a driver says of a device that was given.
func validateReport(d *resourcev1.AllocatedDeviceStatus, given map[deviceID]bool, at *field.Path) field.ErrorList {
	errs := validateID(d.Driver, d.Pool, d.Device, at)
	if d.ShareID != nil {
		errs = append(errs, uidForm(*d.ShareID, at.Child("shareID"))...)
	}
	if id := reported(d); !given[id] {
		errs = append(errs, field.Invalid(at, id, "must be an allocated device in the claim"))
	}
	if n := len(d.Conditions); n > resourcev1.AllocatedDeviceStatusMaxConditions {
		errs = append(errs, field.TooMany(at.Child("conditions"), n, resourcev1.AllocatedDeviceStatusMaxConditions))
	}
	errs = append(errs, metavalidation.ValidateConditions(d.Conditions, at.Child("conditions"))...)
	if d.Data != nil && len(d.Data.Raw) > 0 {
		errs = append(errs, rawObject(*d.Data, resourcev1.AllocatedDeviceStatusDataMaxLength, at.Child("data"))...)
	}
	if d.NetworkData != nil {
		errs = append(errs, validateNetworkData(d.NetworkData, at.Child("networkData"))...)
	}
	return errs
}

func validateNetworkData(n *resourcev1.NetworkDeviceData, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if len(n.InterfaceName) > resourcev1.NetworkDeviceDataInterfaceNameMaxLength {
		errs = append(errs, field.TooLong(at.Child("interfaceName"), "", resourcev1.NetworkDeviceDataInterfaceNameMaxLength))
	}
	if len(n.HardwareAddress) > resourcev1.NetworkDeviceDataHardwareAddressMaxLength {
		errs = append(errs, field.TooLong(at.Child("hardwareAddress"), "", resourcev1.NetworkDeviceDataHardwareAddressMaxLength))
	}
	return append(errs, set(n.IPs, resourcev1.NetworkDeviceDataMaxIPs, func(ip string, at *field.Path) field.ErrorList {
		return validation.IsValidInterfaceAddress(at, ip)
	}, itself, at.Child("ips"))...)
}

// bindingConditions are those for which a pod waits, and those that say that it
// waits in vain: both, or none, and no condition twice.
func bindingConditions(wait, fail []string, at *field.Path) field.ErrorList {
	waitAt, failAt := at.Child("bindingConditions"), at.Child("bindingFailureConditions")
	errs := list(wait, resourcev1.BindingConditionsMaxSize, metavalidation.ValidateLabelName, waitAt)
	errs = append(errs, list(fail, resourcev1.BindingFailureConditionsMaxSize, metavalidation.ValidateLabelName, failAt)...)
	waits, fails := map[string]bool{}, map[string]bool{}
	for i, c := range wait {
		if waits[c] {
			errs = append(errs, field.Duplicate(waitAt.Index(i), c))
		}
		waits[c] = true
	}
	for i, c := range fail {
		if fails[c] {
			errs = append(errs, field.Duplicate(failAt.Index(i), c))
		}
		fails[c] = true
		if waits[c] {
			errs = append(errs, field.Invalid(failAt.Index(i), c, "bindingFailureConditions must not overlap with bindingConditions"))
		}
	}
	if len(wait) == 0 && len(fail) > 0 {
		errs = append(errs, field.Invalid(waitAt, wait, "bindingConditions are required to use bindingFailureConditions"))
	}
	if len(fail) == 0 && len(wait) > 0 {
		errs = append(errs, field.Invalid(failAt, fail, "bindingFailureConditions are required to use bindingConditions"))
	}
	return errs
}
