package ipalloc_test

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"testing"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/apitest"
	"proa/network/ipalloc"
	"proa/resource/networking"
)

// The default is made, is ready, and is made again when it has gone.
func TestDefaultIsKept(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	d := ipalloc.Default{Client: env.Admin, Ranges: []netip.Prefix{netip.MustParsePrefix("10.43.0.0/16")}, Log: slog.New(slog.DiscardHandler)}
	client := env.Admin.NetworkingV1().ServiceCIDRs()
	check := func() *networkingv1.ServiceCIDR {
		t.Helper()
		c, err := client.Get(t.Context(), ipalloc.DefaultServiceCIDR, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Spec.CIDRs, []string{"10.43.0.0/16"}) || !meta.IsStatusConditionTrue(c.Status.Conditions, "Ready") {
			t.Errorf("the default is %+v, %+v", c.Spec, c.Status)
		}
		return c
	}
	if err := d.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	first := check()
	if err := d.Ensure(t.Context()); err != nil || check().ResourceVersion != first.ResourceVersion {
		t.Errorf("what is there was written again: %v", err)
	}
	m, _ := env.Table.View().Resource(networkingv1.SchemeGroupVersion.WithResource("servicecidrs"))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, env.Hub, m.Definition) }()
	defer func() { cancel(); <-ended }()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := client.Get(t.Context(), ipalloc.DefaultServiceCIDR, metav1.GetOptions{})
		if err == nil && c.UID != first.UID {
			return
		}
		if err == nil {
			if err := client.Delete(t.Context(), c.Name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if time.Now().After(end) {
			t.Fatal("the default was not made again")
		}
	}
}

// A second family is added to a default that has the first.
func TestDefaultGetsASecondFamily(t *testing.T) {
	t.Parallel()
	client := apitest.Start(t).Admin
	one, two := netip.MustParsePrefix("10.43.0.0/16"), netip.MustParsePrefix("fd00::/112")
	for _, r := range [][]netip.Prefix{{one}, {one, two}, {one}} {
		if err := (ipalloc.Default{Client: client, Ranges: r, Log: slog.New(slog.DiscardHandler)}).Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.NetworkingV1().ServiceCIDRs().Get(t.Context(), ipalloc.DefaultServiceCIDR, metav1.GetOptions{})
	if err != nil || !slices.Equal(c.Spec.CIDRs, []string{"10.43.0.0/16", "fd00::/112"}) {
		t.Errorf("the default is %v, %v", c, err)
	}
	if errs := networking.ServiceCIDR().Validate(c); len(errs) > 0 {
		t.Error(errs)
	}
}
