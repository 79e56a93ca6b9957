// Package builtin lists the admission plugins of this product, in upstream's
// order.
package builtin

import (
	"fmt"
	"log/slog"
	"slices"

	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/utils/clock"

	"proa/admission"
	"proa/admission/certificates"
	"proa/admission/claimresize"
	"proa/admission/deviceaccess"
	"proa/admission/ingressclass"
	"proa/admission/limitranger"
	"proa/admission/namespacelifecycle"
	"proa/admission/noderestriction"
	"proa/admission/nodetaint"
	"proa/admission/paramaccess"
	"proa/admission/podsecurity"
	"proa/admission/podtopology"
	"proa/admission/policy"
	"proa/admission/priority"
	"proa/admission/rbacescalation"
	"proa/admission/resourcequota"
	"proa/admission/runtimeclass"
	"proa/admission/serviceaccount"
	"proa/admission/storageclass"
	"proa/admission/storageprotection"
	"proa/admission/tolerationseconds"
	"proa/admission/webhook"
	"proa/apiserver/callout"
	"proa/apiserver/managed"
	"proa/auth"
	"proa/auth/rbac"
	"proa/auth/source"
	"proa/cache"
	"proa/resource"
)

// Config is what the plugins work with.
type Config struct {
	// Table of what is served, and Hub by which configuration is read.
	Table *resource.Table
	Hub   *cache.Hub
	// Managed knows how configurations are merged, for mutating policies.
	Managed *managed.Tracker
	// Caller calls webhooks.
	Caller     *callout.Caller
	Log        *slog.Logger
	Objects    *source.Objects
	Authorizer auth.Authorizer
	Policy     *rbac.Index
	Clock      clock.Clock
	// ChargeQuota writes the status of a resource quota, as a component that
	// may always do so. Nil leaves the plugin ResourceQuota out.
	ChargeQuota resourcequota.UpdateStatus
	// Disabled names plugins to leave out.
	Disabled []string
}

// Chain makes the plugins that are on by default, and NodeRestriction. It
// fails on a disabled name that it does not know.
func Chain(c Config) (admission.Chain, error) {
	security, err := podsecurity.New(c.Objects)
	if err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	policies := policy.Config{Table: c.Table, Hub: c.Hub, Namespaces: c.Objects, Authorizer: c.Authorizer, Managed: c.Managed, Log: c.Log}
	hooks := webhook.Config{Namespaces: c.Objects, Authorizer: c.Authorizer, Caller: c.Caller, Log: c.Log}
	all := admission.Chain{
		namespacelifecycle.New(c.Objects),
		limitranger.New(c.Objects),
		serviceaccount.New(c.Objects, c.Clock, func() string { return rand.String(5) }),
		noderestriction.New(c.Objects, c.Authorizer),
		nodetaint.New(),
		security,
		priority.New(c.Objects),
		tolerationseconds.New(tolerationseconds.DefaultSeconds, tolerationseconds.DefaultSeconds),
		storageclass.New(c.Objects),
		storageprotection.New(),
		claimresize.New(c.Objects),
		runtimeclass.New(c.Objects),
		certificates.NewApproval(c.Authorizer),
		certificates.NewSigning(c.Authorizer),
		certificates.NewSubject(),
		ingressclass.New(c.Objects),
		podtopology.New(c.Objects),
		policy.NewMutating(policies, c.Table.View()),
		webhook.NewMutating(hooks, c.Hub, c.Table.View()),
		policy.NewValidating(policies, c.Table.View()),
		webhook.NewValidating(hooks, c.Hub, c.Table.View()),
	}
	if c.ChargeQuota != nil {
		all = append(all, resourcequota.New(c.Objects, c.ChargeQuota, c.Clock))
	}
	known := map[string]bool{"ResourceQuota": true}
	on := admission.Chain{}
	for _, p := range all {
		known[p.Name()] = true
		if !slices.Contains(c.Disabled, p.Name()) {
			on = append(on, p)
		}
	}
	for _, name := range c.Disabled {
		if !known[name] {
			return nil, fmt.Errorf("there is no admission plugin %q to disable", name)
		}
	}
	// Not plugins to users: they cannot be left out. First, since what they
	// refuse must not be charged to a quota.
	return append(admission.Chain{
		rbacescalation.New(c.Policy, c.Authorizer),
		paramaccess.New(c.Table, c.Objects, c.Authorizer),
		deviceaccess.New(c.Objects, c.Authorizer),
	}, on...), nil
}
