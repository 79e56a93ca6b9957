package ipalloc_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/apitest"
)

// TestThroughTheServer makes, changes and deletes services through a client.
func TestThroughTheServer(t *testing.T) {
	t.Parallel()
	client := apitest.Start(t).Admin
	services, addresses := client.CoreV1().Services("default"), client.NetworkingV1().IPAddresses()
	service := func(name string, ip string) *corev1.Service {
		return &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: corev1.ServiceSpec{
				ClusterIP: ip, Type: corev1.ServiceTypeNodePort, Selector: map[string]string{"a": "b"},
				Ports: []corev1.ServicePort{{Port: 80}},
			},
		}
	}
	made, err := services.Create(t.Context(), service("a", ""), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ip, port := made.Spec.ClusterIP, made.Spec.Ports[0].NodePort
	if !strings.HasPrefix(ip, "10.43.") || port < 30000 || port > 32767 {
		t.Errorf("the service got %s and %d", ip, port)
	}
	if a, err := addresses.Get(t.Context(), ip, metav1.GetOptions{}); err != nil || a.Spec.ParentRef.Name != "a" {
		t.Errorf("the claim on %s is %v, %v", ip, a, err)
	}

	// What is refused, or only tried, takes nothing.
	bad := service("bad", "")
	bad.Spec.SessionAffinity = "Maybe"
	if _, err := services.Create(t.Context(), bad, metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("an invalid service: %v", err)
	}
	if s, err := services.Create(t.Context(), service("dry", ""), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil || s.Spec.ClusterIP == "" {
		t.Errorf("a dry run: %v", err)
	}
	if _, err := services.Create(t.Context(), service("a", ""), metav1.CreateOptions{}); !apierrors.IsAlreadyExists(err) {
		t.Errorf("a second service of one name: %v", err)
	}
	if _, err := services.Create(t.Context(), service("b", ip), metav1.CreateOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a service with a taken address: %v", err)
	}
	if l, err := addresses.List(t.Context(), metav1.ListOptions{}); err != nil || len(l.Items) != 1 {
		t.Errorf("addresses taken: %v, %v", l, err)
	}

	// A client that replaces a service by what it once wrote keeps what it has.
	again := service("a", "")
	again.ResourceVersion = made.ResourceVersion
	if s, err := services.Update(t.Context(), again, metav1.UpdateOptions{}); err != nil || s.Spec.ClusterIP != ip || s.Spec.Ports[0].NodePort != port {
		t.Errorf("after a replacement: %v, %v", s, err)
	}
	if err := services.Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := addresses.Get(t.Context(), ip, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("the claim of a deleted service: %v", err)
	}
	if s, err := services.Create(t.Context(), service("b", ip), metav1.CreateOptions{}); err != nil || s.Spec.ClusterIP != ip {
		t.Errorf("a service with an address that is free again: %v", err)
	}
}
