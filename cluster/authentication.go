package cluster

import (
	"context"
	"fmt"
	"maps"

	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"proa/pki"
)

// The ConfigMap in kube-system by which servers beside the API server know whom
// it knows: parts that run alone, and extension API servers.
const (
	authenticationName = "extension-apiserver-authentication"
	clientCAKey        = "client-ca-file"
)

// authenticationData is what the ConfigMap holds. Lists are in JSON.
func authenticationData(a *pki.Authority) map[string]string {
	return map[string]string{
		clientCAKey:                          string(a.CA()),
		"requestheader-client-ca-file":       string(a.FrontProxyCA()),
		"requestheader-allowed-names":        `["` + pki.FrontProxyClient().CommonName + `"]`,
		"requestheader-extra-headers-prefix": `["X-Remote-Extra-"]`,
		"requestheader-group-headers":        `["X-Remote-Group"]`,
		"requestheader-username-headers":     `["X-Remote-User"]`,
	}
}

// publishAuthentication makes the ConfigMap, or brings it up to date.
func publishAuthentication(ctx context.Context, c kubernetes.Interface, a *pki.Authority) error {
	client, data := c.CoreV1().ConfigMaps(metav1.NamespaceSystem), authenticationData(a)
	is, err := client.Get(ctx, authenticationName, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		_, err = client.Create(ctx, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: authenticationName}, Data: data}, metav1.CreateOptions{})
	case err == nil && !maps.Equal(is.Data, data):
		is = is.DeepCopy()
		is.Data = data
		_, err = client.Update(ctx, is, metav1.UpdateOptions{})
	}
	if err != nil {
		return fmt.Errorf("publish the authorities of clients: %w", err)
	}
	return nil
}
