// Package deviceaccess checks what may be written into claims on devices, where
// that depends on the namespace and on the user. It is not one of upstream's
// plugins, where storage makes these checks, and like those it cannot be
// switched off.
//
//   - Access to devices that others use ("admin access") is asked for, and given,
//     only in namespaces that are labelled for it.
//   - Who gives devices to a claim, or writes down who uses it, must be allowed to
//     write the subresource "binding" of claims in all namespaces.
//   - What is said of devices must be said by their driver: by who may write the
//     subresource "driver" of the driver's name, on any node or on the user's own.
package deviceaccess

import (
	"context"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/admission"
	"proa/auth"
	"proa/resource"
	"proa/resource/check"
)

// Namespaces finds namespaces.
type Namespaces interface {
	Namespace(ctx context.Context, name string) (*corev1.Namespace, error)
}

// Plugin is the check, as a validator.
type Plugin struct {
	namespaces Namespaces
	authorizer auth.Authorizer
}

// New makes the plugin.
func New(n Namespaces, a auth.Authorizer) *Plugin { return &Plugin{n, a} }

// Name implements [admission.Plugin].
func (*Plugin) Name() string { return "DeviceAccess" }

// Handles implements [admission.Plugin].
func (*Plugin) Handles(op admission.Operation, def *resource.Definition, subresource string) bool {
	switch {
	case admission.Is(def, resourcev1.GroupName, "resourceclaims"):
		return op == admission.Create && subresource == "" || op == admission.Update && subresource == "status"
	case admission.Is(def, resourcev1.GroupName, "resourceclaimtemplates"):
		return op == admission.Create && subresource == ""
	}
	return false
}

// Validate implements [admission.Validator].
func (p *Plugin) Validate(ctx context.Context, a *admission.Attributes) error {
	var errs field.ErrorList
	switch o := a.Object.(type) {
	case *resourcev1.ResourceClaimTemplate:
		errs = p.asked(ctx, a.Namespace, o.Spec.Spec.Devices.Requests)
	case *resourcev1.ResourceClaim:
		if a.Operation == admission.Create {
			errs = p.asked(ctx, a.Namespace, o.Spec.Devices.Requests)
			break
		}
		old, ok := a.Old.(*resourcev1.ResourceClaim)
		if !ok {
			return nil
		}
		errs = p.given(ctx, a.Namespace, o.Status.Allocation, old.Status.Allocation)
		errs = append(errs, p.binding(ctx, a, &o.Status, &old.Status)...)
		errs = append(errs, p.reports(ctx, a, &o.Status, &old.Status)...)
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(a.Definition.GroupVersionKind().GroupKind(), a.ObjectName(), errs)
}

// asked checks requests for admin access.
func (p *Plugin) asked(ctx context.Context, namespace string, requests []resourcev1.DeviceRequest) field.ErrorList {
	for i, r := range requests {
		if r.Exactly != nil && isTrue(r.Exactly.AdminAccess) {
			return p.labelled(ctx, namespace, field.NewPath("spec", "devices", "requests").Index(i).Child("adminAccess"))
		}
	}
	return nil
}

// given checks admin access that is given to a claim that had none.
func (p *Plugin) given(ctx context.Context, namespace string, a, old *resourcev1.AllocationResult) field.ErrorList {
	if adminResult(old) >= 0 {
		return nil
	}
	i := adminResult(a)
	if i < 0 {
		return nil
	}
	return p.labelled(ctx, namespace, field.NewPath("status", "allocation", "devices", "results").Index(i).Child("adminAccess"))
}

func adminResult(a *resourcev1.AllocationResult) int {
	if a == nil {
		return -1
	}
	return slices.IndexFunc(a.Devices.Results, func(r resourcev1.DeviceRequestAllocationResult) bool { return isTrue(r.AdminAccess) })
}

func isTrue(b *bool) bool { return b != nil && *b }

func (p *Plugin) labelled(ctx context.Context, namespace string, at *field.Path) field.ErrorList {
	ns, err := p.namespaces.Namespace(ctx, namespace)
	if err != nil {
		return field.ErrorList{field.InternalError(at, fmt.Errorf("could not retrieve namespace to verify admin access: %w", err))}
	}
	if ns.Labels[resourcev1.DRAAdminNamespaceLabelKey] != "true" {
		return field.ErrorList{field.Forbidden(at, fmt.Sprintf("admin access to devices requires the `%s: true` label on the containing namespace", resourcev1.DRAAdminNamespaceLabelKey))}
	}
	return nil
}

// binding checks who gives and takes devices.
func (p *Plugin) binding(ctx context.Context, a *admission.Attributes, s, old *resourcev1.ResourceClaimStatus) field.ErrorList {
	if check.Equal(&s.Allocation, &old.Allocation) && check.Equal(&s.ReservedFor, &old.ReservedFor) {
		return nil
	}
	verb := verbOf(a)
	err := p.may(ctx, &auth.Attributes{User: a.User, Verb: verb, Subresource: resourcev1.SubresourceBinding})
	if err == nil {
		return nil
	}
	return field.ErrorList{field.Forbidden(field.NewPath("status", "allocation"),
		fmt.Sprintf(`changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="%s" permission: %s`, verb, err))}
}

// reports checks who says something of devices.
func (p *Plugin) reports(ctx context.Context, a *admission.Attributes, s, old *resourcev1.ResourceClaimStatus) field.ErrorList {
	if s.Allocation == nil {
		return nil
	}
	verbs := []string{resourcev1.VerbPrefixArbitraryNode + verbOf(a)}
	if n := nodeOf(s.Allocation); n != "" && n == nodeOfAccount(a.User) {
		verbs = slices.Insert(verbs, 0, resourcev1.VerbPrefixAssociatedNode+verbOf(a))
	}
	var errs field.ErrorList
	for _, driver := range changedDrivers(s.Devices, old.Devices) {
		if err := p.speaksFor(ctx, a, driver, verbs); err != nil {
			errs = append(errs, field.Forbidden(field.NewPath("status", "devices"),
				fmt.Sprintf(`changing status.devices requires resource="resourceclaims/driver", verb="%s" permission: %s`, verbs, err)))
		}
	}
	return errs
}

// speaksFor: one of the verbs is enough. The error is that of the first.
func (p *Plugin) speaksFor(ctx context.Context, a *admission.Attributes, driver string, verbs []string) error {
	var first error
	for _, verb := range verbs {
		err := p.may(ctx, &auth.Attributes{User: a.User, Verb: verb, Subresource: resourcev1.SubresourceDriver, Namespace: a.Namespace, Name: driver})
		if err == nil {
			return nil
		}
		if first == nil {
			first = err
		}
	}
	return first
}

// may asks about a subresource of claims that is only ever asked about.
func (p *Plugin) may(ctx context.Context, q *auth.Attributes) error {
	q.IsResource, q.Group, q.Version, q.Resource = true, resourcev1.GroupName, resourcev1.SchemeGroupVersion.Version, "resourceclaims"
	d, reason, err := p.authorizer.Authorize(ctx, q)
	if d == auth.Allow {
		return nil
	}
	if err != nil {
		reason = strings.TrimSuffix(err.Error()+": "+reason, ": ")
	}
	return auth.Forbidden(q, reason)
}

func verbOf(a *admission.Attributes) string {
	if _, ok := a.Options.(*metav1.PatchOptions); ok {
		return "patch"
	}
	return "update"
}

// changedDrivers are the drivers of whose devices something else is said than
// before, sorted.
func changedDrivers(now, was []resourcev1.AllocatedDeviceStatus) []string {
	type id struct{ driver, pool, device, share string }
	idOf := func(d *resourcev1.AllocatedDeviceStatus) id {
		i := id{d.Driver, d.Pool, d.Device, ""}
		if d.ShareID != nil {
			i.share = *d.ShareID
		}
		return i
	}
	before := map[id]*resourcev1.AllocatedDeviceStatus{}
	for i := range was {
		before[idOf(&was[i])] = &was[i]
	}
	var drivers []string
	for i := range now {
		k := idOf(&now[i])
		if old := before[k]; old == nil || !check.Equal(old, &now[i]) {
			drivers = append(drivers, now[i].Driver)
		}
		delete(before, k)
	}
	for k := range before {
		drivers = append(drivers, k.driver)
	}
	slices.Sort(drivers)
	return slices.Compact(drivers)
}

// nodeOf is the one node that an allocation is for, or nothing.
func nodeOf(a *resourcev1.AllocationResult) string {
	if a.NodeSelector == nil || len(a.NodeSelector.NodeSelectorTerms) != 1 {
		return ""
	}
	t := a.NodeSelector.NodeSelectorTerms[0]
	if len(t.MatchExpressions) != 0 || len(t.MatchFields) != 1 {
		return ""
	}
	f := t.MatchFields[0]
	if f.Key != metav1.ObjectNameField || f.Operator != corev1.NodeSelectorOpIn || len(f.Values) != 1 {
		return ""
	}
	return f.Values[0]
}

// nodeOfAccount is the node of the pod that a service account speaks for.
func nodeOfAccount(u *auth.User) string {
	if u == nil || !strings.HasPrefix(u.Name, auth.ServiceAccountPrefix) {
		return ""
	}
	if names := u.Extra["authentication.kubernetes.io/node-name"]; len(names) == 1 {
		return names[0]
	}
	return ""
}
