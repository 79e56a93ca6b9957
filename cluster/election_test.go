package cluster

import (
	"context"
	"errors"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/apitest"
)

const testLease = "test"

// holder is who has the lease of the test.
func holder(t *testing.T, env *apitest.Env) string {
	t.Helper()
	l, err := env.Admin.CoordinationV1().Leases("kube-system").Get(context.Background(), testLease, metav1.GetOptions{})
	if err != nil || l.Spec.HolderIdentity == nil {
		t.Errorf("lease: %v %v", l, err)
		return ""
	}
	return *l.Spec.HolderIdentity
}

// candidate takes part in an election, and works when it has won.
func candidate(t *testing.T, p *parts, env *apitest.Env, work func(context.Context) error) {
	t.Helper()
	e, err := newElection(env.Loopback(apitest.AdminUser), env.Admin, testLease, p)
	if err != nil {
		t.Fatal(err)
	}
	p.run("leader election", e.run)
	if !e.won(p) {
		t.Fatal("an election with one candidate is not won")
	}
	p.run("work", work)
}

// The lease is given up only when the work has ended, so that the next leader
// may begin at once.
func TestLeaseOutlivesWork(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithNamespaces("kube-system"))
	ctx, cancel := context.WithCancel(t.Context())
	p := newParts(ctx)
	while := ""
	candidate(t, p, env, func(ctx context.Context) error {
		<-ctx.Done()
		while = holder(t, env)
		return nil
	})
	cancel()
	if err := p.wait(); err != nil {
		t.Error(err)
	}
	if after := holder(t, env); while == "" || after != "" {
		t.Errorf("held by %q while the work ended, by %q afterwards", while, after)
	}
}

// A leader whose lease another has taken stops, work first, and says why.
func TestLostLeaseEndsWork(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithNamespaces("kube-system"))
	p := newParts(t.Context())
	ended := false
	candidate(t, p, env, func(ctx context.Context) error {
		<-ctx.Done()
		ended = true
		return nil
	})
	leases := env.Admin.CoordinationV1().Leases("kube-system")
	for taken := false; !taken; {
		l, err := leases.Get(t.Context(), testLease, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		thief, now := "thief", metav1.NowMicro()
		l.Spec = coordinationv1.LeaseSpec{HolderIdentity: &thief, RenewTime: &now, AcquireTime: &now, LeaseDurationSeconds: new(int32)}
		*l.Spec.LeaseDurationSeconds = 3600
		// A renewal may come in between.
		_, err = leases.Update(t.Context(), l, metav1.UpdateOptions{})
		taken = err == nil
	}
	if err := p.wait(); !errors.Is(err, errLeaseLost) {
		t.Errorf("got %v", err)
	}
	if !ended || holder(t, env) != "thief" {
		t.Errorf("the work ended: %t; the lease is held by %s", ended, holder(t, env))
	}
}
