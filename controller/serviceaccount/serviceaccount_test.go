package serviceaccount_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
	"proa/controller/serviceaccount"
)

// Every namespace has its account, an old one and a new one, and gets another
// when it is deleted.
func TestDefaultAccount(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithNamespaces("old"))
	controllertest.Run(t, env, clock.RealClock{}, serviceaccount.Definition())
	core := env.Admin.CoreV1()
	if _, err := core.Namespaces().Create(t.Context(), &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	account := func(ns string, not types.UID) (uid types.UID) {
		t.Helper()
		controllertest.Until(t, func() string {
			sa, err := core.ServiceAccounts(ns).Get(t.Context(), "default", metav1.GetOptions{})
			if err != nil {
				return err.Error()
			}
			if sa.UID == not {
				return "it is the old one"
			}
			uid = sa.UID
			return ""
		})
		return uid
	}
	account("old", "")
	first := account("new", "")
	if err := core.ServiceAccounts("new").Delete(t.Context(), "default", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	account("new", first)
}
