package hook_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"proa/node/hook"
)

type execer func(id string, cmd []string) error

func (f execer) ExecSync(_ context.Context, id string, cmd []string, _ time.Duration) ([]byte, []byte, error) {
	return []byte("output"), nil, f(id, cmd)
}

func TestExecHook(t *testing.T) {
	t.Parallel()
	r := &hook.Runner{Exec: execer(func(id string, cmd []string) error {
		if id != "c1" || cmd[0] != "go" {
			return errors.New("exit 1")
		}
		return nil
	})}
	run := func(cmd string) error {
		return r.Run(t.Context(), &v1.Pod{}, &v1.Container{}, "c1", "", &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{cmd}}})
	}
	if err := run("go"); err != nil {
		t.Error(err)
	}
	if err := run("stop"); err == nil || !strings.Contains(err.Error(), `message: "output"`) {
		t.Errorf("a failed hook says %v", err)
	}
}

func TestHTTPHook(t *testing.T) {
	t.Parallel()
	var agent string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { agent = r.UserAgent() + r.URL.Path }))
	defer server.Close()
	host, p, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	r := &hook.Runner{Version: "1.36"}
	for _, scheme := range []v1.URIScheme{v1.URISchemeHTTP, v1.URISchemeHTTPS} {
		agent = ""
		h := &v1.LifecycleHandler{HTTPGet: &v1.HTTPGetAction{Path: "/bye", Port: intstr.FromInt(n), Scheme: scheme}}
		if err := r.Run(t.Context(), &v1.Pod{}, &v1.Container{}, "c1", host, h); err != nil || agent != "kube-lifecycle/1.36/bye" {
			t.Errorf("%s: %v, the server saw %q", scheme, err, agent)
		}
	}
}

func TestSleepHook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &hook.Runner{}
		h := &v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: 5}}
		began := time.Now()
		if err := r.Run(t.Context(), &v1.Pod{}, &v1.Container{}, "", "", h); err != nil || time.Since(began) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Run(ctx, &v1.Pod{}, &v1.Container{}, "", "", h); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a sleep that is cut short gives %v", err)
		}
	})
}
