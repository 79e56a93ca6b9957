package fairness_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/apiserver/fairness"
	"proa/auth"
)

// TestObjects: what every cluster has is made and kept, schemas are told whether
// their levels are there, and answers say who decided.
func TestObjects(t *testing.T) {
	t.Parallel()
	f := fairness.New(fairness.Config{Total: 600})
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) { c.Fairness = f }))
	view := env.Table.View()
	schemas, _ := view.Resource(flowcontrolv1.SchemeGroupVersion.WithResource("flowschemas"))
	levels, _ := view.Resource(flowcontrolv1.SchemeGroupVersion.WithResource("prioritylevelconfigurations"))
	o := fairness.Objects{Fairness: f, Client: env.Admin, Hub: env.Hub, Schemas: schemas.Definition, Levels: levels.Definition, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- o.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	client := env.Admin.FlowcontrolV1()
	until := func(what string, is func() bool) {
		t.Helper()
		for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	dangling := func(name string) string {
		s, err := client.FlowSchemas().Get(ctx, name, metav1.GetOptions{})
		if err != nil || len(s.Status.Conditions) == 0 {
			return ""
		}
		return string(s.Status.Conditions[0].Status)
	}
	until("the objects were not made", func() bool { return dangling("global-default") == "False" && dangling("exempt") == "False" })

	// A suggested one that was changed and is not the server's stays changed; a
	// mandatory one comes back.
	l, err := client.PriorityLevelConfigurations().Get(ctx, "workload-low", metav1.GetOptions{})
	if err != nil || l.Annotations[flowcontrolv1.AutoUpdateAnnotationKey] != "true" {
		t.Fatal(l, err)
	}
	l.Annotations[flowcontrolv1.AutoUpdateAnnotationKey] = "false"
	l.Spec.Limited.NominalConcurrencyShares = ptr.To(int32(7))
	if _, err := client.PriorityLevelConfigurations().Update(ctx, l, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	other, err := client.PriorityLevelConfigurations().Get(ctx, "node-high", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	other.Spec.Limited.NominalConcurrencyShares = ptr.To(int32(7))
	if _, err := client.PriorityLevelConfigurations().Update(ctx, other, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := client.FlowSchemas().Delete(ctx, "catch-all", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	until("what went or changed did not come back", func() bool {
		n, err := client.PriorityLevelConfigurations().Get(ctx, "node-high", metav1.GetOptions{})
		return dangling("catch-all") == "False" && err == nil && *n.Spec.Limited.NominalConcurrencyShares == 40
	})
	if l, err := client.PriorityLevelConfigurations().Get(ctx, "workload-low", metav1.GetOptions{}); err != nil || *l.Spec.Limited.NominalConcurrencyShares != 7 {
		t.Errorf("what somebody has changed was changed back: %v, %v", l, err)
	}

	// A schema of one's own, before its level.
	mine, err := client.FlowSchemas().Create(ctx, &flowcontrolv1.FlowSchema{
		ObjectMeta: metav1.ObjectMeta{Name: "mine"},
		Spec: flowcontrolv1.FlowSchemaSpec{
			MatchingPrecedence: 3, PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: "mine"},
			Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
				Subjects:      []flowcontrolv1.Subject{{Kind: "User", User: &flowcontrolv1.UserSubject{Name: "me"}}},
				ResourceRules: []flowcontrolv1.ResourcePolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}, Namespaces: []string{"*"}, ClusterScope: true}},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	until("the schema was not told that its level is missing", func() bool { return dangling("mine") == "True" })
	level, err := client.PriorityLevelConfigurations().Create(ctx, &flowcontrolv1.PriorityLevelConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "mine"}, Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
			Type: flowcontrolv1.PriorityLevelEnablementLimited, Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
				NominalConcurrencyShares: ptr.To(int32(1)), // three seats
				LimitResponse:            flowcontrolv1.LimitResponse{Type: flowcontrolv1.LimitResponseTypeReject},
			},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	until("the schema was not told of its level", func() bool { return dangling("mine") == "False" })
	asMe := env.Config(&auth.User{Name: "me"})
	headers := make(chan http.Header, 100)
	asMe.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil {
				headers <- resp.Header
			}
			return resp, err
		})
	})
	me, err := kubernetes.NewForConfig(asMe)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := me.CoreV1().Pods("default").List(ctx, metav1.ListOptions{}); err != nil {
		t.Fatal(err)
	}
	h := <-headers
	if s, l := h.Get("X-Kubernetes-PF-FlowSchema-UID"), h.Get("X-Kubernetes-PF-PriorityLevel-UID"); s != string(mine.UID) || l != string(level.UID) {
		t.Errorf("decided by schema %q and level %q", s, l)
	}
	// Watches give their seats back when they have begun.
	for range 40 {
		w, err := me.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{SendInitialEvents: ptr.To(true), AllowWatchBookmarks: true, ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Stop()
		if _, ok := <-w.ResultChan(); !ok {
			t.Fatal("the watch ended")
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
