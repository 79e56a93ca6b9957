package core

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"proa/resource"
)

// TestServiceAddresses: clusterIPs follow clusterIP, and not the reverse.
func TestServiceAddresses(t *testing.T) {
	t.Parallel()
	d := Service()
	const was = "spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1]}"
	for name, c := range map[string]struct{ old, now, want string }{
		"made with one":              {"", "spec: {clusterIP: 10.0.0.1}", "10.0.0.1 [10.0.0.1]"},
		"made with a list alone":     {"", "spec: {clusterIPs: [10.0.0.1]}", " [10.0.0.1]"},
		"left out":                   {was, "{}", "10.0.0.1 [10.0.0.1]"},
		"changed, the list left out": {was, "spec: {clusterIP: 10.0.0.2}", "10.0.0.2 [10.0.0.2]"},
		"changed beside the list":    {was, "spec: {clusterIP: 10.0.0.2, clusterIPs: [10.0.0.1]}", "10.0.0.2 [10.0.0.2]"},
		"the list changed alone":     {was, "spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.2]}", "10.0.0.1 [10.0.0.2]"},
		"no longer needed":           {was, "spec: {type: ExternalName, clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1]}", " []"},
	} {
		s := object(t, d, c.now).(*corev1.Service)
		if c.old == "" {
			d.PrepareCreate(&resource.Request{}, s)
		} else {
			d.PrepareUpdate(&resource.Request{}, s, object(t, d, c.old))
		}
		if got := fmt.Sprint(s.Spec.ClusterIP, " ", s.Spec.ClusterIPs); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestExternalTrafficPolicyDefault(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]corev1.ServiceExternalTrafficPolicy{
		"{}":                             "",
		"spec: {externalIPs: [1.2.3.4]}": corev1.ServiceExternalTrafficPolicyCluster,
		"spec: {type: NodePort}":         corev1.ServiceExternalTrafficPolicyCluster,
		"spec: {type: ExternalName, externalIPs: [1.2.3.4]}": "",
	} {
		if got := object(t, Service(), text).(*corev1.Service).Spec.ExternalTrafficPolicy; got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}

// TestNodeConfig: only a node that has a source of configuration keeps one.
func TestNodeConfig(t *testing.T) {
	t.Parallel()
	d := Node()
	const with = "spec: {configSource: {configMap: {name: a, namespace: b, kubeletConfigKey: c}}}\nstatus: {config: {error: x}}"
	node := func(text string) *corev1.Node { return object(t, d, text).(*corev1.Node) }
	n := node(with)
	d.PrepareCreate(&resource.Request{}, n)
	if n.Spec.ConfigSource != nil || n.Status.Config != nil {
		t.Error("a new node got a source")
	}
	n = node(with)
	d.PrepareUpdate(&resource.Request{}, n, node("{}"))
	if n.Spec.ConfigSource != nil {
		t.Error("a node without a source got one")
	}
	n = node(with)
	d.PrepareUpdate(&resource.Request{}, n, node(with))
	if n.Spec.ConfigSource == nil {
		t.Error("a node lost its source")
	}
	n.Spec.ConfigSource.ConfigMap.UID = "u"
	n.Status.Config = &corev1.NodeConfigStatus{Active: &corev1.NodeConfigSource{ConfigMap: &corev1.ConfigMapNodeConfigSource{Name: "a", Namespace: "b", KubeletConfigKey: "/"}}}
	n.Name, n.ResourceVersion = "a", "1"
	wantErrors(t, "sources", d.Updates["status"].ValidateUpdate(n, n),
		`spec.configSource.configMap.uid: Forbidden: uid must not be set in spec`,
		`status.config.active.configMap.uid: Required value`,
		`status.config.active.configMap.resourceVersion: Required value`,
		`status.config.active.configMap.kubeletConfigKey: Invalid value: "/": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`)
}
