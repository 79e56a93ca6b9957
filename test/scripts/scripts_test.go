package scripts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/kubectl/pkg/cmd"

	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/openapi"
	"proa/resource/builtin"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kubectl": kubectl})
}

// kubectl is the command of that name in scripts.
func kubectl() {
	c := cmd.NewDefaultKubectlCommand()
	c.SetArgs(os.Args[1:])
	if err := c.Execute(); err != nil {
		os.Exit(1)
	}
}

func TestScripts(t *testing.T) {
	cfg, err := server(t)
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: false,
		Setup:               func(e *testscript.Env) error { return setup(e, cfg) },
	})
}

// server is the API server under test.
func server(t *testing.T) (*clientcmdapi.Config, error) {
	if file := os.Getenv("PROA_TEST_KUBECONFIG"); file != "" {
		cfg, err := clientcmd.LoadFromFile(file)
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

// setup gives a script its namespace and kubeconfig.
func setup(e *testscript.Env, cfg *clientcmdapi.Config) error {
	rc, err := clientcmd.NewDefaultClientConfig(*cfg, nil).ClientConfig()
	if err != nil {
		return err
	}
	clients, err := clientsFor(rc)
	if err != nil {
		return err
	}
	ctx := context.Background()
	ns, err := clients.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "script-"}}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	e.Defer(func() {
		// The server may be one that lives on.
		if err := clients.CoreV1().Namespaces().Delete(ctx, ns.Name, metav1.DeleteOptions{}); err != nil {
			e.T().Log(err)
		}
	})
	own := cfg.DeepCopy()
	current := own.Contexts[own.CurrentContext]
	if current == nil {
		return errors.New("the kubeconfig has no current context")
	}
	current.Namespace = ns.Name
	file := filepath.Join(e.WorkDir, "kubeconfig")
	if err := clientcmd.WriteToFile(*own, file); err != nil {
		return err
	}
	e.Setenv("KUBECONFIG", file)
	e.Setenv("NS", ns.Name)
	e.Setenv("HOME", e.WorkDir)
	return nil
}

func clientsFor(c *restclient.Config) (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(c)
}
