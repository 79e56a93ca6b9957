package configuration_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"

	"proa/auth"
	"proa/auth/authtest"
	"proa/auth/configuration"
)

func authorization(authorizers ...string) string {
	return "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\nauthorizers:\n" + strings.Join(authorizers, "")
}

func mode(name string) string {
	return fmt.Sprintf("- {type: %s, name: %s}\n", name, strings.ToLower(name))
}

// hook is a webhook of a configuration; rest is indented by four.
func hook(name, kubeconfig, policy, rest string) string {
	return fmt.Sprintf(`- type: Webhook
  name: %s
  webhook:
    timeout: 3s
    subjectAccessReviewVersion: v1
    matchConditionSubjectAccessReviewVersion: v1
    failurePolicy: %s
    connectionInfo: {type: KubeConfigFile, kubeConfigFile: %s}
%s`, name, policy, kubeconfig, rest)
}

// verbs allows some verbs to everybody.
type verbs string

func (v verbs) Authorize(_ context.Context, a *auth.Attributes) (auth.Decision, string, error) {
	if a.Verb == string(v) {
		return auth.Allow, "by " + string(v), nil
	}
	return auth.NoOpinion, "", nil
}

func (v verbs) RulesFor(*auth.User, string) ([]rbacv1.PolicyRule, error) {
	return []rbacv1.PolicyRule{{Verbs: []string{string(v)}}}, nil
}

func openAuthorization(t *testing.T, o configuration.AuthorizationOptions) *configuration.Authorization {
	t.Helper()
	o.Node, o.RBAC = verbs("node"), verbs("rbac")
	z, err := configuration.OpenAuthorization(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(z.Close)
	return z
}

var joe = &auth.User{Name: "joe", UID: "1", Groups: []string{"dev"}, Extra: map[string][]string{"k": {"v"}}}

func pods(verb, name string) *auth.Attributes {
	return &auth.Attributes{User: joe, Verb: verb, IsResource: true, Version: "v1", Resource: "pods", Namespace: "ns", Name: name}
}

func TestModes(t *testing.T) {
	t.Parallel()
	admin := &auth.Attributes{User: &auth.User{Groups: []string{auth.GroupMasters}}, Verb: "x"}
	for _, c := range []struct {
		name            string
		o               configuration.AuthorizationOptions
		node, rbac, any auth.Decision
	}{
		{"default", configuration.AuthorizationOptions{}, auth.Allow, auth.Allow, auth.NoOpinion},
		{"RBAC", configuration.AuthorizationOptions{Modes: []string{"RBAC"}}, auth.NoOpinion, auth.Allow, auth.NoOpinion},
		{"AlwaysDeny", configuration.AuthorizationOptions{Modes: []string{"AlwaysDeny"}}, auth.NoOpinion, auth.NoOpinion, auth.NoOpinion},
		{"AlwaysAllow", configuration.AuthorizationOptions{Modes: []string{"AlwaysAllow"}}, auth.Allow, auth.Allow, auth.Allow},
		{"file", configuration.AuthorizationOptions{File: file(t, authorization(mode("Node")))}, auth.Allow, auth.NoOpinion, auth.NoOpinion},
	} {
		z := openAuthorization(t, c.o)
		for verb, want := range map[string]auth.Decision{"node": c.node, "rbac": c.rbac, "any": c.any} {
			if d, _, err := z.Authorize(t.Context(), pods(verb, "")); d != want || err != nil {
				t.Errorf("%s: %s: %v, %v", c.name, verb, d, err)
			}
		}
		if d, _, err := z.Authorize(t.Context(), admin); d != auth.Allow || err != nil {
			t.Errorf("%s: system:masters may not: %v", c.name, err)
		}
	}
	for _, c := range []struct {
		o    configuration.AuthorizationOptions
		want string
	}{
		{configuration.AuthorizationOptions{Modes: []string{"ABAC"}}, `Unsupported value: "ABAC"`},
		{configuration.AuthorizationOptions{Modes: []string{"RBAC", "RBAC"}}, "Duplicate"},
		{configuration.AuthorizationOptions{Modes: []string{"Webhook"}}, "authorization-webhook-config-file"},
		{configuration.AuthorizationOptions{Webhook: configuration.WebhookFlags{ConfigFile: "x"}}, "authorization-webhook-config-file"},
		{configuration.AuthorizationOptions{Modes: []string{"RBAC"}, File: file(t, authorization(mode("Node")))}, "cannot be given together"},
		{configuration.AuthorizationOptions{File: file(t, authorization())}, "at least one authorization mode"},
		{configuration.AuthorizationOptions{File: file(t, authorization(hook("w", "/does/not/exist", "Deny", "")))}, "/does/not/exist"},
		{configuration.AuthorizationOptions{File: file(t, authorization(hook("w", authtest.Kubeconfig(t, "http://127.0.0.1:1", ""), "Deny", "")))}, "https"},
		{configuration.AuthorizationOptions{File: file(t, authorization(hook("w", authtest.Kubeconfig(t, "https://127.0.0.1:1", ""), "Ignore", "")))}, "failurePolicy"},
		{configuration.AuthorizationOptions{File: file(t, authorization(hook("w", authtest.Kubeconfig(t, "https://127.0.0.1:1", ""), "Deny", "    matchConditions: [{expression: 'request.user +'}]\n")))}, "matchConditions"},
	} {
		c.o.Node, c.o.RBAC = verbs("node"), verbs("rbac")
		if z, err := configuration.OpenAuthorization(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			if z != nil {
				z.Close()
			}
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}

// The question reaches the webhook whole, selectors included, and its answer is
// remembered; what match conditions leave out does not reach it.
func TestAuthorizationWebhook(t *testing.T) {
	t.Parallel()
	seen := make(chan authorizationv1.SubjectAccessReviewSpec, 100)
	kubeconfig := authtest.Webhook(t, func(r *authorizationv1.SubjectAccessReview) int {
		seen <- r.Spec
		switch r.Spec.ResourceAttributes.Name {
		case "allowed":
			r.Status = authorizationv1.SubjectAccessReviewStatus{Allowed: true, Reason: "because"}
		case "denied":
			r.Status = authorizationv1.SubjectAccessReviewStatus{Denied: true, Reason: "no"}
		case "broken":
			return http.StatusBadRequest
		case "redirect":
			return http.StatusFound
		}
		return 0
	})
	condition := "    matchConditions:\n    - expression: has(request.resourceAttributes) && request.resourceAttributes.namespace == 'ns'\n    - expression: \"!('nodes' in request.groups)\"\n"
	open := openAuthorization(t, configuration.AuthorizationOptions{File: file(t, authorization(hook("w", kubeconfig, "NoOpinion", condition), mode("RBAC")))})
	closed := openAuthorization(t, configuration.AuthorizationOptions{File: file(t, authorization(hook("w", kubeconfig, "Deny", condition), mode("RBAC")))})
	elsewhere := pods("rbac", "denied")
	elsewhere.Namespace = "other"
	for _, c := range []struct {
		name           string
		z              *configuration.Authorization
		a              *auth.Attributes
		want           auth.Decision
		reason, failed string
		asks           int
	}{
		{"allowed", open, pods("get", "allowed"), auth.Allow, "because", "", 1},
		{"denied before RBAC", open, pods("rbac", "denied"), auth.Deny, "no", "", 1},
		{"no opinion", open, pods("get", "x"), auth.NoOpinion, "", "", 1},
		{"no opinion, and RBAC", open, pods("rbac", "x"), auth.Allow, "by rbac", "", 1},
		{"left out", open, elsewhere, auth.Allow, "by rbac", "", 0},
		{"a path", open, &auth.Attributes{User: joe, Verb: "get", Path: "/x"}, auth.NoOpinion, "", "", 0},
		{"broken, open", open, pods("rbac", "broken"), auth.Allow, "by rbac", "", 2},
		{"broken, open, nobody else", open, pods("get", "broken"), auth.NoOpinion, "", "rejected our request", 2},
		{"broken, closed", closed, pods("rbac", "broken"), auth.Deny, "", "rejected our request", 2},
		{"redirect", closed, pods("rbac", "redirect"), auth.Deny, "", "redirects", 2},
	} {
		for range 2 {
			d, reason, err := c.z.Authorize(t.Context(), c.a)
			if d != c.want || reason != c.reason || (err != nil) != (c.failed != "") && d != auth.Allow || err != nil && !strings.Contains(err.Error(), c.failed) {
				t.Errorf("%s: %v, %q, %v", c.name, d, reason, err)
			}
		}
		if n := len(seen); n != c.asks {
			t.Errorf("%s: asked %d times", c.name, n)
		}
		for len(seen) > 0 {
			<-seen
		}
	}
	a := pods("list", "")
	a.Subresource = "log"
	a.Fields = fields.ParseSelectorOrDie("spec.nodeName=n1,metadata.name!=x").Requirements()
	selector, err := labels.Parse("app in (a,b),!old")
	if err != nil {
		t.Fatal(err)
	}
	a.Labels, _ = selector.Requirements()
	if _, _, err := open.Authorize(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	want := authorizationv1.SubjectAccessReviewSpec{
		User: "joe", UID: "1", Groups: []string{"dev"}, Extra: map[string]authorizationv1.ExtraValue{"k": {"v"}},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: "ns", Verb: "list", Version: "v1", Resource: "pods", Subresource: "log",
			FieldSelector: &authorizationv1.FieldSelectorAttributes{Requirements: []metav1.FieldSelectorRequirement{
				{Key: "metadata.name", Operator: metav1.FieldSelectorOpNotIn, Values: []string{"x"}},
				{Key: "spec.nodeName", Operator: metav1.FieldSelectorOpIn, Values: []string{"n1"}},
			}},
			LabelSelector: &authorizationv1.LabelSelectorAttributes{Requirements: []metav1.LabelSelectorRequirement{
				{Key: "app", Operator: metav1.LabelSelectorOpIn, Values: []string{"a", "b"}},
				{Key: "old", Operator: metav1.LabelSelectorOpDoesNotExist},
			}},
		},
	}
	if diff := cmp.Diff(want, <-seen); diff != "" {
		t.Errorf("the webhook was asked (-want +got):\n%s", diff)
	}
	if _, err := open.RulesFor(joe, "ns"); err == nil {
		t.Error("the rules are said to be complete although a webhook may allow more")
	}
}

func TestAuthorizationReloads(t *testing.T) {
	t.Parallel()
	path := file(t, authorization(mode("RBAC")))
	z := openAuthorization(t, configuration.AuthorizationOptions{File: path})
	allowed := func(verb string) bool {
		d, _, err := z.Authorize(t.Context(), pods(verb, ""))
		return d == auth.Allow && err == nil
	}
	if !allowed("rbac") || allowed("node") {
		t.Fatal("the beginning is not as configured")
	}
	replace(t, path, authorization(mode("Nobody")))
	replace(t, path, authorization(mode("Node")))
	for end := time.Now().Add(20 * time.Second); !allowed("node"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the changed file is never in force")
		}
	}
	if allowed("rbac") {
		t.Error("the former file is still in force")
	}
}

// A question whose asker goes away is not answered by the failure policy of a
// webhook that was not done yet, but by its error.
func TestAskerGoesAway(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	begun, end := make(chan struct{}), make(chan struct{})
	kubeconfig := authtest.Webhook(t, func(*authorizationv1.SubjectAccessReview) int {
		if asked.Add(1) == 1 {
			close(begun)
		}
		<-end
		return 0
	})
	defer close(end)
	z := openAuthorization(t, configuration.AuthorizationOptions{Modes: []string{"Webhook"}, Webhook: configuration.WebhookFlags{ConfigFile: kubeconfig, Version: "v1"}})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	if d, _, err := z.Authorize(ctx, pods("get", "x")); d == auth.Allow || !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", d, err)
	}
}
