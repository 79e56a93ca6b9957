package deviceaccess

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"

	"proa/admission"
	"proa/admission/admissiontest"
	"proa/auth"
	"proa/resource"
	"proa/resource/devices"
)

// world has a namespace for administrators and one for others. Users may write
// what their name says.
func plugin() *Plugin {
	w := admissiontest.World{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "admin", Labels: map[string]string{resourcev1.DRAAdminNamespaceLabelKey: "true"}}},
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "plain"}},
	}
	return New(w, auth.AuthorizerFunc(func(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
		q := a.Verb + " " + a.Resource + "/" + a.Subresource + " " + a.Namespace + "/" + a.Name
		if a.Group == "resource.k8s.io" && len(a.User.Groups) > 0 && strings.HasPrefix(q, a.User.Groups[0]) {
			return auth.Allow, "", nil
		}
		return auth.NoOpinion, "", nil
	}))
}

func TestAdminAccess(t *testing.T) {
	t.Parallel()
	asks := resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{
		{Name: "a", FirstAvailable: []resourcev1.DeviceSubRequest{{}}}, {Name: "b", Exactly: &resourcev1.ExactDeviceRequest{AdminAccess: ptr.To(true)}},
	}}}
	for _, c := range []struct {
		def       *resource.Definition
		object    runtime.Object
		namespace string
		want      string
	}{
		{devices.ResourceClaim(), &resourcev1.ResourceClaim{Spec: asks}, "admin", ""},
		{devices.ResourceClaim(), &resourcev1.ResourceClaim{}, "plain", ""},
		{devices.ResourceClaim(), &resourcev1.ResourceClaim{Spec: asks}, "plain",
			"ResourceClaim.resource.k8s.io \"c\" is invalid: spec.devices.requests[1].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace"},
		{devices.ResourceClaimTemplate(), &resourcev1.ResourceClaimTemplate{Spec: resourcev1.ResourceClaimTemplateSpec{Spec: asks}}, "plain",
			"ResourceClaimTemplate.resource.k8s.io \"c\" is invalid: spec.devices.requests[1].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace"},
	} {
		_, err := admissiontest.Run(t.Context(), plugin(), &admission.Attributes{
			Operation: admission.Create, Definition: c.def, Namespace: c.namespace, Name: "c", Object: c.object, User: &auth.User{Name: "u"},
		})
		expect(t, c.def.Kind+" in "+c.namespace, err, c.want)
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	given := func(admin bool) *resourcev1.AllocationResult {
		return &resourcev1.AllocationResult{
			Devices: resourcev1.DeviceAllocationResult{Results: []resourcev1.DeviceRequestAllocationResult{{Request: "a", Driver: "d", Pool: "p", Device: "x", AdminAccess: &admin}}},
			NodeSelector: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchFields: []corev1.NodeSelectorRequirement{
				{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{"n1"}},
			}}}},
		}
	}
	said := []resourcev1.AllocatedDeviceStatus{{Driver: "d", Pool: "p", Device: "x", NetworkData: &resourcev1.NetworkDeviceData{InterfaceName: "eth0"}}}
	plain := resourcev1.ResourceClaimStatus{Allocation: given(false)}
	reported := resourcev1.ResourceClaimStatus{Allocation: given(false), Devices: said}
	account := func(node, may string) *auth.User {
		return &auth.User{Name: "system:serviceaccount:d:driver", Groups: []string{may}, Extra: map[string][]string{"authentication.kubernetes.io/node-name": {node}}}
	}
	const noBinding = `ResourceClaim.resource.k8s.io "c" is invalid: status.allocation: Forbidden: changing status.allocation or status.reservedFor requires resource="resourceclaims/binding", verb="update" permission: resourceclaims.resource.k8s.io is forbidden: User "u" cannot update resource "resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope`
	for name, c := range map[string]struct {
		user     *auth.User
		now, was resourcev1.ResourceClaimStatus
		want     string
	}{
		"nothing new":             {&auth.User{Name: "u"}, plain, plain, ""},
		"given":                   {&auth.User{Name: "u", Groups: []string{"update resourceclaims/binding /"}}, plain, resourcev1.ResourceClaimStatus{}, ""},
		"given by somebody":       {&auth.User{Name: "u"}, plain, resourcev1.ResourceClaimStatus{}, noBinding},
		"taken back by somebody":  {&auth.User{Name: "u"}, resourcev1.ResourceClaimStatus{}, reported, noBinding},
		"given for admins":        {&auth.User{Name: "u", Groups: []string{"update resourceclaims/binding /"}}, resourcev1.ResourceClaimStatus{Allocation: given(true)}, resourcev1.ResourceClaimStatus{}, "ResourceClaim.resource.k8s.io \"c\" is invalid: status.allocation.devices.results[0].adminAccess: Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on the containing namespace"},
		"said by the driver":      {account("n1", "associated-node:update resourceclaims/driver plain/d"), reported, plain, ""},
		"unsaid by the driver":    {account("n1", "associated-node:update resourceclaims/driver plain/d"), plain, reported, ""},
		"said by any node":        {account("n2", "arbitrary-node:update resourceclaims/driver plain/d"), reported, plain, ""},
		"said by another's node":  {account("n2", "associated-node:update resourceclaims/driver plain/d"), reported, plain, `ResourceClaim.resource.k8s.io "c" is invalid: status.devices: Forbidden: changing status.devices requires resource="resourceclaims/driver", verb="[arbitrary-node:update]" permission: resourceclaims.resource.k8s.io "d" is forbidden: User "system:serviceaccount:d:driver" cannot arbitrary-node:update resource "resourceclaims/driver" in API group "resource.k8s.io" in the namespace "plain"`},
		"said by a user, no node": {&auth.User{Name: "u", Groups: []string{"associated-node:"}, Extra: map[string][]string{"authentication.kubernetes.io/node-name": {"n1"}}}, reported, plain, `ResourceClaim.resource.k8s.io "c" is invalid: status.devices: Forbidden: changing status.devices requires resource="resourceclaims/driver", verb="[arbitrary-node:update]" permission: resourceclaims.resource.k8s.io "d" is forbidden: User "u" cannot arbitrary-node:update resource "resourceclaims/driver" in API group "resource.k8s.io" in the namespace "plain"`},
	} {
		_, err := admissiontest.Run(t.Context(), plugin(), &admission.Attributes{
			Operation: admission.Update, Subresource: "status", Definition: devices.ResourceClaim(), Namespace: "plain", Name: "c", User: c.user,
			Object: &resourcev1.ResourceClaim{Status: c.now}, Old: &resourcev1.ResourceClaim{Status: c.was}, Options: &metav1.UpdateOptions{},
		})
		expect(t, name, err, c.want)
	}
}

func expect(t *testing.T, name string, err error, want string) {
	t.Helper()
	got := ""
	if err != nil {
		got = err.Error()
	}
	if got != want {
		t.Errorf("%s: got\n\t%s\nwant\n\t%s", name, got, want)
	}
}
