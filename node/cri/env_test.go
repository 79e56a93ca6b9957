package cri

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// objectMap answers Objects from two maps by name.
type objectMap struct {
	cms     map[string]map[string]string
	secrets map[string]map[string][]byte
}

func (o objectMap) ConfigMap(_, name string) (*corev1.ConfigMap, error) {
	if d, ok := o.cms[name]; ok {
		return &corev1.ConfigMap{Data: d}, nil
	}
	return nil, apierrors.NewNotFound(corev1.Resource("configmap"), name)
}

func (o objectMap) Secret(_, name string) (*corev1.Secret, error) {
	if d, ok := o.secrets[name]; ok {
		return &corev1.Secret{Data: d}, nil
	}
	return nil, apierrors.NewNotFound(corev1.Resource("secret"), name)
}

func ptr[T any](v T) *T { return &v }

// input is a container of a plain pod.
func input() ContainerInput {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-1", Namespace: "ns", UID: "uid-1", Labels: map[string]string{"app": "web"}, Annotations: map[string]string{"Note": `say "hi"`}},
		Spec: corev1.PodSpec{
			NodeName: "n1", ServiceAccountName: "sa", EnableServiceLinks: ptr(false),
			Containers: []corev1.Container{{Name: "c", Image: "img:1"}},
		},
	}
	return ContainerInput{
		PodInput: PodInput{
			Node: &Node{Name: "n1", Hostname: "host1", IPs: []string{"10.0.0.1", "fd00::1"}, Root: "/root", PodLogs: "/logs", ClusterDomain: "cluster.local", ClusterDNS: []string{"10.43.0.10"},
				Allocatable: corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi")}, MemoryCapacity: 8 << 30},
			Pod: pod, IPs: []string{"10.42.0.7", "fd42::7"},
		},
		Container: &pod.Spec.Containers[0],
	}
}

func environment(t *testing.T, in ContainerInput) string {
	t.Helper()
	env, err := Environment(in)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range env {
		b.WriteString(e.Key + "=" + string(e.Value) + ";")
	}
	return b.String()
}

func TestEnvironmentOrderAndExpansion(t *testing.T) {
	t.Parallel()
	in := input()
	in.Objects = objectMap{
		cms:     map[string]map[string]string{"cm": {"A": "cm", "dotted.key": "d", "B": "cm"}},
		secrets: map[string]map[string][]byte{"s": {"B": []byte("secret")}},
	}
	in.Container.EnvFrom = []corev1.EnvFromSource{
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}}},
		{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}},
		{Prefix: "P_", SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}}},
		{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "none"}, Optional: ptr(true)}},
	}
	in.Container.Env = []corev1.EnvVar{
		{Name: "A", Value: "own"},
		{Name: "E", Value: "$(A)-$(B)-$(LATER)-$$(A)-$(open-$x-$"},
		{Name: "LATER", Value: "l"},
		{Name: "EMPTY"},
		{Name: "OPT", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "none", Optional: ptr(true)}}},
		{Name: "KEY", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Key: "B"}}},
	}
	want := "A=own;B=secret;E=own-secret-$(LATER)-$(A)-$(open-$x-$;EMPTY=;KEY=cm;LATER=l;P_B=secret;dotted.key=d;"
	if got := environment(t, in); got != want {
		t.Errorf("\ngot  %s\nwant %s", got, want)
	}
}

func TestDownwardFields(t *testing.T) {
	t.Parallel()
	in := input()
	for path, want := range map[string]string{
		"metadata.name": "web-1", "metadata.namespace": "ns", "metadata.uid": "uid-1",
		"metadata.labels": `app="web"`, "metadata.labels['app']": "web", "metadata.labels['none']": "",
		"metadata.annotations": `Note="say \"hi\""`, "metadata.annotations['Note']": `say "hi"`,
		"spec.nodeName": "n1", "spec.serviceAccountName": "sa",
		"status.hostIP": "10.0.0.1", "status.hostIPs": "10.0.0.1,fd00::1",
		"status.podIP": "10.42.0.7", "status.podIPs": "10.42.0.7,fd42::7",
	} {
		if got, err := FieldValue(path, in.Pod, in.Node, in.podIPs()); err != nil || got != want {
			t.Errorf("%s: %q %v", path, got, err)
		}
	}
	for path, want := range map[string]string{
		"spec.containers":       "unsupported fieldPath: spec.containers",
		"metadata.name['x']":    `fieldPath "metadata.name['x']" does not support subscript`,
		"metadata.labels['!!']": "invalid key subscript in metadata.labels['!!']",
	} {
		if _, err := FieldValue(path, in.Pod, in.Node, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
	// Before it has addresses of its own, a pod on the host network has the
	// node's.
	in.IPs, in.Pod.Spec.HostNetwork = nil, true
	if got := in.podIPs(); len(got) != 2 || got[0] != "10.0.0.1" {
		t.Errorf("%v", got)
	}
}

func TestResourceFields(t *testing.T) {
	t.Parallel()
	in := input()
	in.Container.Resources = corev1.ResourceRequirements{
		Requests: corev1.ResourceList{"cpu": resource.MustParse("250m"), "memory": resource.MustParse("100Mi")},
		Limits:   corev1.ResourceList{"memory": resource.MustParse("128Mi")},
	}
	for _, tc := range []struct{ res, div, want string }{
		{"requests.cpu", "0", "1"}, {"requests.cpu", "1m", "250"}, {"limits.cpu", "1", "4"}, {"limits.cpu", "1m", "4000"},
		{"requests.memory", "1", "104857600"}, {"limits.memory", "1Mi", "128"}, {"limits.memory", "1G", "1"},
	} {
		got, err := ResourceValue(&corev1.ResourceFieldSelector{Resource: tc.res, Divisor: resource.MustParse(tc.div)}, in.Pod, in.Container, in.Node.Allocatable)
		if err != nil || got != tc.want {
			t.Errorf("%s / %s: %q %v", tc.res, tc.div, got, err)
		}
	}
	if _, err := ResourceValue(&corev1.ResourceFieldSelector{Resource: "limits.gpu"}, in.Pod, in.Container, nil); err == nil || err.Error() != "unsupported container resource : limits.gpu" {
		t.Errorf("%v", err)
	}
}

func TestMissingSourcesInTheWordsOfUpstream(t *testing.T) {
	t.Parallel()
	ref := corev1.LocalObjectReference{Name: "x"}
	for want, v := range map[string]*corev1.EnvVarSource{
		`configmap "x" not found`:                {ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: ref, Key: "k"}},
		`secret "x" not found`:                   {SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: ref, Key: "k"}},
		"couldn't find key k in ConfigMap ns/cm": {ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "cm"}, Key: "k"}},
		"couldn't find key k in Secret ns/s":     {SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "s"}, Key: "k"}},
	} {
		in := input()
		in.Objects = objectMap{cms: map[string]map[string]string{"cm": {}}, secrets: map[string]map[string][]byte{"s": {}}}
		in.Container.Env = []corev1.EnvVar{{Name: "V", ValueFrom: v}}
		_, err := ContainerConfig(in)
		var ce *ConfigError
		if !errors.As(err, &ce) || ce.Reason != "CreateContainerConfigError" || ce.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestServiceVariables(t *testing.T) {
	t.Parallel()
	svc := func(ns, name, ip string, ports ...corev1.ServicePort) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns}, Spec: corev1.ServiceSpec{ClusterIP: ip, Ports: ports}}
	}
	in := input()
	in.Services = []*corev1.Service{
		svc("default", "kubernetes", "10.43.0.1", corev1.ServicePort{Name: "https", Port: 443, Protocol: corev1.ProtocolTCP}),
		svc("default", "other", "10.43.0.2", corev1.ServicePort{Port: 1}),
		svc("ns", "my-db", "10.43.0.3", corev1.ServicePort{Name: "db-port", Port: 5432}, corev1.ServicePort{Name: "x", Port: 53, Protocol: corev1.ProtocolUDP}),
		svc("ns", "headless", "None", corev1.ServicePort{Port: 1}),
	}
	kubernetes := "KUBERNETES_PORT=tcp://10.43.0.1:443;KUBERNETES_PORT_443_TCP=tcp://10.43.0.1:443;KUBERNETES_PORT_443_TCP_ADDR=10.43.0.1;KUBERNETES_PORT_443_TCP_PORT=443;KUBERNETES_PORT_443_TCP_PROTO=tcp;KUBERNETES_SERVICE_HOST=10.43.0.1;KUBERNETES_SERVICE_PORT=443;KUBERNETES_SERVICE_PORT_HTTPS=443;"
	if got := environment(t, in); got != kubernetes {
		t.Errorf("without links:\n%s", got)
	}
	in.Pod.Spec.EnableServiceLinks = nil
	want := kubernetes + "MY_DB_PORT=tcp://10.43.0.3:5432;MY_DB_PORT_53_UDP=udp://10.43.0.3:53;MY_DB_PORT_53_UDP_ADDR=10.43.0.3;MY_DB_PORT_53_UDP_PORT=53;MY_DB_PORT_53_UDP_PROTO=udp;MY_DB_PORT_5432_TCP=tcp://10.43.0.3:5432;MY_DB_PORT_5432_TCP_ADDR=10.43.0.3;MY_DB_PORT_5432_TCP_PORT=5432;MY_DB_PORT_5432_TCP_PROTO=tcp;MY_DB_SERVICE_HOST=10.43.0.3;MY_DB_SERVICE_PORT=5432;MY_DB_SERVICE_PORT_DB_PORT=5432;MY_DB_SERVICE_PORT_X=53;"
	if got := environment(t, in); got != want {
		t.Errorf("with links:\n%s\n%s", got, want)
	}
}

func TestCommandsAreExpanded(t *testing.T) {
	t.Parallel()
	in := input()
	in.Container.Env = []corev1.EnvVar{{Name: "N", Value: "1"}}
	in.Container.Command, in.Container.Args = []string{"run", "$(N)"}, []string{"$(NONE)", "$$(N)"}
	c, err := ContainerConfig(in)
	if err != nil || strings.Join(c.Command, " ") != "run 1" || strings.Join(c.Args, " ") != "$(NONE) $(N)" {
		t.Errorf("%v %v %v", c.GetCommand(), c.GetArgs(), err)
	}
}

func TestEnvFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"K='v'\n":                 "v",
		"# c\n\nA='x'\nK='a b' #": "a b",
		"K='two\nlines'\n":        "two\nlines",
		"K='1'\nK='2'":            "2",
		"K=v":                     "!",
		"K='v":                    "!",
		"K='v'x":                  "!",
		"A='x'":                   "",
	} {
		got, ok, err := parseEnvFile(strings.NewReader(text), "K")
		if err != nil {
			got = "!"
		}
		if got != want || err == nil && ok != (want != "") {
			t.Errorf("%q: %q %v %v", text, got, ok, err)
		}
	}
}

func FuzzExpand(f *testing.F) {
	f.Add("$(A)$$(B)$($")
	f.Fuzz(func(t *testing.T, s string) {
		// Without variables, only $$ changes.
		if got := Expand(s, lookupOrKeep()); !strings.Contains(s, "$$") && got != s {
			t.Errorf("%q became %q", s, got)
		}
	})
}
