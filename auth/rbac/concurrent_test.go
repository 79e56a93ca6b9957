package rbac

import (
	"fmt"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/auth"
)

// A user whose binding stays is allowed without a gap, while others come and
// go in the same shards and his role is rewritten.
func TestReadersSeeNoGap(t *testing.T) {
	t.Parallel()
	x := New()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "r"}, Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods"}}}}
	bind := func(name string, users ...string) *rbacv1.ClusterRoleBinding {
		b := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "r"}}
		for _, u := range users {
			b.Subjects = append(b.Subjects, rbacv1.Subject{Kind: "User", Name: u})
		}
		return b
	}
	x.Set(role)
	x.Set(bind("stays", "me"))
	stop := make(chan struct{})
	var writers, readers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := range 300 {
				name := fmt.Sprintf("b%d-%d", w, i%7)
				x.Set(bind(name, fmt.Sprint("u", i%200), "other"))
				x.Set(role)
				x.Set(bind("stays", "me", fmt.Sprint("v", i)))
				x.Delete(bind(name))
			}
		})
	}
	for range 2 {
		readers.Go(func() {
			a := &auth.Attributes{User: &auth.User{Name: "me"}, Verb: "get", IsResource: true, Resource: "pods"}
			for {
				select {
				case <-stop:
					return
				default:
				}
				if d, _, _ := x.Authorize(t.Context(), a); d != auth.Allow {
					t.Error("a gap")
					return
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}
