package apitest

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

func TestStart(t *testing.T) {
	t.Parallel()
	env := Start(t)
	for name, c := range map[string]kubernetes.Interface{"local": env.Admin, "remote": env.Remote(AdminUser)} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			cms := c.CoreV1().ConfigMaps("default")
			made, err := cms.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"a": "b"}}, metav1.CreateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() || len(made.ManagedFields) != 1 {
				t.Errorf("%+v", made.ObjectMeta)
			}
			w, err := cms.Watch(ctx, metav1.ListOptions{ResourceVersion: made.ResourceVersion})
			if err != nil {
				t.Fatal(err)
			}
			defer w.Stop()
			made.Data["a"] = "c"
			changed, err := cms.Update(ctx, made, metav1.UpdateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ev := <-w.ResultChan()
			if got, ok := ev.Object.(*corev1.ConfigMap); !ok || got.ResourceVersion != changed.ResourceVersion || got.Data["a"] != "c" {
				t.Errorf("%+v", ev)
			}
			if _, err := cms.Update(ctx, made, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
				t.Errorf("a stale update was not refused: %v", err)
			}
			list, err := cms.List(ctx, metav1.ListOptions{})
			if err != nil || len(list.Items) == 0 {
				t.Errorf("%v %v", list, err)
			}
			if err := cms.Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := cms.Get(ctx, name, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Errorf("%v", err)
			}
		})
	}
}
