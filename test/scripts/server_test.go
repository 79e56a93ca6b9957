package scripts

import (
	"context"
	"os"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/openapi"
	"proa/resource/builtin"
)

// kubeconfigEnv names the kubeconfig of another server to test.
const kubeconfigEnv = "PROA_TEST_KUBECONFIG"

// foreign says that the server under test is not Proa's of this process.
func foreign() bool { return os.Getenv(kubeconfigEnv) != "" }

// target is the API server under test.
type target struct {
	kubeconfig *clientcmdapi.Config
	rest       *restclient.Config
	clients    kubernetes.Interface
}

// server is the API server under test.
func server(t *testing.T) *target {
	t.Helper()
	cfg, err := kubeconfig(t)
	if err != nil {
		t.Fatal(err)
	}
	s := &target{kubeconfig: cfg}
	if s.rest, err = clientcmd.NewDefaultClientConfig(*cfg, nil).ClientConfig(); err != nil {
		t.Fatal(err)
	}
	// What asks much at once is not to wait for itself.
	s.rest.QPS = -1
	if s.clients, err = kubernetes.NewForConfig(s.rest); err != nil {
		t.Fatal(err)
	}
	return s
}

func kubeconfig(t *testing.T) (*clientcmdapi.Config, error) {
	if foreign() {
		cfg, err := clientcmd.LoadFromFile(os.Getenv(kubeconfigEnv))
		if err != nil {
			return nil, err
		}
		return cfg, clientcmdapi.FlattenConfig(cfg)
	}
	table := builtin.Table()
	docs, err := openapi.New(table, func() managedfields.TypeConverter { return applyconfigurations.NewTypeConverter(scheme.Scheme) })
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { docs.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	c := apitest.Start(t, apitest.WithTable(table), apitest.WithConfig(func(c *apiserver.Config) {
		c.Mounts = append(c.Mounts, apiserver.Mount{Prefix: "/openapi", Handler: docs, Paths: []string{"/openapi/v2", "/openapi/v3"}})
	})).Config(apitest.AdminUser)
	cfg := clientcmdapi.NewConfig()
	cfg.Clusters["test"] = &clientcmdapi.Cluster{Server: c.Host, CertificateAuthorityData: c.CAData}
	cfg.AuthInfos["test"] = &clientcmdapi.AuthInfo{ClientCertificateData: c.CertData, ClientKeyData: c.KeyData}
	cfg.Contexts["test"] = &clientcmdapi.Context{Cluster: "test", AuthInfo: "test"}
	cfg.CurrentContext = "test"
	return cfg, nil
}

// namespace makes a namespace with a service account, without which a server
// that admits as upstream does refuses pods. Who calls remove must do so once
// the namespace is used no more.
func (s *target) namespace(ctx context.Context) (name string, remove func() error, err error) {
	ns, err := s.clients.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "script-"}}, metav1.CreateOptions{})
	if err != nil {
		return "", nil, err
	}
	// A controller may have been faster, if there is one.
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := s.clients.CoreV1().ServiceAccounts(ns.Name).Create(ctx, account, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return "", nil, err
	}
	return ns.Name, func() error {
		return s.clients.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{})
	}, nil
}
