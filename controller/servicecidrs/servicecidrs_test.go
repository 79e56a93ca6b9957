package servicecidrs

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

func cidr(name string, prefixes ...string) *networkingv1.ServiceCIDR {
	return &networkingv1.ServiceCIDR{
		ObjectMeta: metav1.ObjectMeta{Name: name, Finalizers: []string{finalizer}}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: prefixes},
	}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	deleted := func(c *networkingv1.ServiceCIDR, ago time.Duration) *networkingv1.ServiceCIDR {
		at := metav1.NewTime(now.Add(-ago))
		c.DeletionTimestamp = &at
		return c
	}
	given := []netip.Addr{netip.MustParseAddr("10.0.1.5"), netip.MustParseAddr("10.0.0.0"), netip.MustParseAddr("fd00::5")}
	for name, c := range map[string]struct {
		c      *networkingv1.ServiceCIDR
		others []*networkingv1.ServiceCIDR
		want   string
		again  time.Duration
	}{
		"alive":                        {c: cidr("c", "10.0.1.0/24"), want: "ready"},
		"used":                         {c: deleted(cidr("c", "10.0.1.0/24"), time.Hour), want: "stays"},
		"used, of two families":        {c: deleted(cidr("c", "10.9.0.0/24", "fd00::/112"), time.Hour), want: "stays"},
		"unused":                       {c: deleted(cidr("c", "10.0.2.0/24"), time.Hour), want: "goes"},
		"nobody's address":             {c: deleted(cidr("c", "10.0.0.0/24"), time.Hour), want: "goes"},
		"unused, young":                {c: deleted(cidr("c", "10.0.2.0/24"), 4*time.Second), again: 6 * time.Second},
		"within another":               {c: deleted(cidr("c", "10.0.1.0/24"), time.Hour), others: []*networkingv1.ServiceCIDR{cidr("d", "10.0.0.0/16")}, want: "goes"},
		"same as another":              {c: deleted(cidr("c", "10.0.1.0/24"), time.Hour), others: []*networkingv1.ServiceCIDR{cidr("d", "10.0.1.0/24")}, want: "goes"},
		"address in a smaller":         {c: deleted(cidr("c", "10.0.0.0/16"), time.Hour), others: []*networkingv1.ServiceCIDR{cidr("d", "10.0.1.0/29")}, want: "goes"},
		"address not in a smaller":     {c: deleted(cidr("c", "10.0.0.0/16"), time.Hour), others: []*networkingv1.ServiceCIDR{cidr("d", "10.0.1.0/30")}, want: "stays"},
		"address names a smaller":      {c: deleted(cidr("c", "10.0.0.0/16"), time.Hour), others: []*networkingv1.ServiceCIDR{cidr("d", "10.0.1.5/32")}, want: "stays"},
		"only one family within other": {c: deleted(cidr("c", "10.0.1.0/24", "fd00::/112"), time.Hour), others: []*networkingv1.ServiceCIDR{cidr("d", "10.0.0.0/16")}, want: "stays"},
	} {
		p := decide(c.c, append(c.others, c.c), given, now)
		got := ""
		switch {
		case p.changeFinalizers && len(p.finalizers) == 0:
			got = "goes"
		case p.condition != nil && p.condition.Status == metav1.ConditionTrue:
			got = "ready"
		case p.condition != nil && p.condition.Reason == networkingv1.ServiceCIDRReasonTerminating:
			got = "stays"
		}
		if got != c.want || p.again != c.again {
			t.Errorf("%s: %+v", name, p)
		}
		if p.condition != nil {
			c.c.Status.Conditions = []metav1.Condition{*p.condition}
			if p := decide(c.c, append(c.others, c.c), given, now); p.condition != nil {
				t.Errorf("%s: what is said already is said again", name)
			}
		}
	}
}

// A range becomes ready, stays while an address of it is given, and goes when
// that is given back and the rest is over.
func TestLifeOfARange(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	clock := clocktesting.NewFakeClock(time.Now())
	controllertest.Run(t, env, clock, Definition())
	ranges, addresses, ctx := env.Admin.NetworkingV1().ServiceCIDRs(), env.Admin.NetworkingV1().IPAddresses(), t.Context()
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	says := func(want metav1.ConditionStatus) {
		t.Helper()
		controllertest.Until(t, func() string {
			c, err := ranges.Get(ctx, "extra", metav1.GetOptions{})
			must(c, err)
			if k := meta.FindStatusCondition(c.Status.Conditions, "Ready"); k == nil || k.Status != want || !slices.Contains(c.Finalizers, finalizer) {
				return "the range is " + c.String()
			}
			return ""
		})
	}
	must(ranges.Create(ctx, &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: "extra"}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: []string{"10.50.0.0/24"}}}, metav1.CreateOptions{}))
	says(metav1.ConditionTrue)
	must(addresses.Create(ctx, &networkingv1.IPAddress{
		ObjectMeta: metav1.ObjectMeta{Name: "10.50.0.7", Labels: map[string]string{networkingv1.LabelManagedBy: managedBy}},
		Spec:       networkingv1.IPAddressSpec{ParentRef: &networkingv1.ParentReference{Resource: "services", Namespace: "default", Name: "s"}},
	}, metav1.CreateOptions{}))
	must(nil, ranges.Delete(ctx, "extra", metav1.DeleteOptions{}))
	says(metav1.ConditionFalse)
	must(nil, addresses.Delete(ctx, "10.50.0.7", metav1.DeleteOptions{}))
	controllertest.Until(t, func() string {
		clock.Step(time.Second)
		if _, err := ranges.Get(ctx, "extra", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return "the range is still there"
		}
		return ""
	})
}
