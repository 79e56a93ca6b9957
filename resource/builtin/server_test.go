package builtin_test

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/apitest"
)

// TestErrorsOfADeployment: what a new user meets first reads as upstream's.
func TestErrorsOfADeployment(t *testing.T) {
	t.Parallel()
	deployments := apitest.Start(t).Admin.AppsV1().Deployments("default")
	labels := map[string]string{"app": "hello"}
	make := func(container string, selector *metav1.LabelSelector) *appsv1.Deployment {
		return &appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Name: "hello"},
			Spec: appsv1.DeploymentSpec{Selector: selector, Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: container, Image: "nginx"}}},
			}},
		}
	}
	for name, c := range map[string]struct {
		given *appsv1.Deployment
		want  string
	}{
		"container name": {make("helloNginx", &metav1.LabelSelector{MatchLabels: labels}),
			`Deployment.apps "hello" is invalid: spec.template.spec.containers[0].name: Invalid value: "helloNginx": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`},
		"no selector": {make("hello", nil),
			"Deployment.apps \"hello\" is invalid: [spec.selector: Required value, spec.template.metadata.labels: Invalid value: {\"app\":\"hello\"}: `selector` does not match template `labels`]"},
	} {
		_, err := deployments.Create(t.Context(), c.given, metav1.CreateOptions{})
		if err == nil || err.Error() != c.want {
			t.Errorf("%s: got\n\t%v\nwant\n\t%s", name, err, c.want)
		}
	}
}
