package scripts

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"proa/cluster"
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
	file := os.Getenv(kubeconfigEnv)
	if !foreign() {
		var err error
		if file, err = start(t); err != nil {
			return nil, err
		}
	}
	cfg, err := clientcmd.LoadFromFile(file)
	if err != nil {
		return nil, err
	}
	return cfg, clientcmdapi.FlattenConfig(cfg)
}

// start runs an API server until the test ends, all of it but the parts beside
// it, and returns the administrator's kubeconfig.
func start(t *testing.T) (string, error) {
	c := &cluster.Config{DataDir: t.TempDir()}
	// Endpoints have no loopback addresses; nobody connects to this one.
	c.API.BindAddress, c.API.Port, c.Node.Address = "127.0.0.1", new(int), "192.0.2.1"
	if err := c.Complete(); err != nil {
		return "", err
	}
	if err := c.Validate(); err != nil {
		return "", err
	}
	ctx, cancel := context.WithCancel(context.Background())
	steps, told := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := cluster.RunAPIServer(ctx, c, cluster.NewNotifier(told, time.Now()), slog.New(slog.DiscardHandler))
		told.CloseWithError(err)
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if last := cluster.ReadProgress(steps, func(cluster.Progress) {}); last.Step != cluster.StepReady {
		return "", fmt.Errorf("the API server has not become ready: %+v", last)
	}
	return c.AdminKubeconfig(), nil
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
