package guard_test

import (
	"net/http/httptest"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"proa/node/guard"
)

func TestGuard(t *testing.T) {
	t.Parallel()
	client := fake.NewClientset()
	client.PrependReactor("create", "tokenreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		r.Status.Authenticated = r.Spec.Token == "good"
		r.Status.User = authenticationv1.UserInfo{Username: "scraper", Groups: []string{"g"}}
		return true, r, nil
	})
	client.PrependReactor("create", "subjectaccessreviews", func(a clienttesting.Action) (bool, runtime.Object, error) {
		r := a.(clienttesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		r.Status.Allowed = r.Spec.User == "scraper" && r.Spec.ResourceAttributes.Subresource == "metrics"
		return true, r, nil
	})
	g := guard.New(guard.Config{Client: client, Tokens: true})
	request := func(header string) (string, bool) {
		r := httptest.NewRequest("GET", "/metrics", nil)
		if header != "" {
			r.Header.Set("Authorization", header)
		}
		resp, ok, err := g.AuthenticateRequest(r)
		if err != nil || !ok {
			return "", false
		}
		return resp.User.GetName(), true
	}
	if _, ok := request(""); ok {
		t.Error("anonymous requests are let in")
	}
	if _, ok := request("Bearer bad"); ok {
		t.Error("a bad token is let in")
	}
	for range 3 {
		if name, ok := request("Bearer good"); !ok || name != "scraper" {
			t.Errorf("good token: %q %v", name, ok)
		}
	}
	ask := func(sub string) authorizer.Decision {
		d, _, err := g.Authorize(t.Context(), authorizer.AttributesRecord{
			User: &user.DefaultInfo{Name: "scraper"}, Verb: "get", Resource: "nodes", Name: "n1", Subresource: sub, ResourceRequest: true,
		})
		if err != nil {
			t.Error(err)
		}
		return d
	}
	for range 3 {
		if ask("metrics") != authorizer.DecisionAllow || ask("proxy") == authorizer.DecisionAllow {
			t.Error("wrong decisions")
		}
	}
	if n := len(client.Actions()); n != 4 {
		t.Errorf("%d reviews, want 4: answers are not remembered", n)
	}
	if d, _, _ := guard.New(guard.Config{}).Authorize(t.Context(), authorizer.AttributesRecord{}); d != authorizer.DecisionDeny {
		t.Error("without anyone to ask, something is allowed")
	}
}
