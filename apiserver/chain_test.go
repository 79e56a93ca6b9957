package apiserver_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	restclient "k8s.io/client-go/rest"

	"proa/admission"
	"proa/apiserver"
	"proa/apiserver/apitest"
	"proa/apiserver/connect"
	"proa/apiserver/health"
	"proa/auth"
	"proa/resource"
)

// stream registers a handler of pods/log.
func logs(f func(w http.ResponseWriter, r *http.Request, c *connect.Stream) error) apitest.Option {
	return apitest.WithConfig(func(c *apiserver.Config) {
		c.Connects = connect.Registry{{Resource: "pods", Subresource: "log"}: {Stream: f}}
	})
}

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, logs(func(http.ResponseWriter, *http.Request, *connect.Stream) error { panic("x") }))
	want(t, env, call{method: "GET", path: podsPath + "/p/log"}, 500, "This request caused apiserver to panic. Look in the logs for details.")
	want(t, env, call{method: "GET", path: podsPath}, 200)
}

func TestConnect(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) {
		c.Connects = connect.Registry{
			{Resource: "pods", Subresource: "exec"}: {
				Options: func(q url.Values) (runtime.Object, error) {
					if q.Get("command") == "" {
						return nil, errors.New("you must specify at least 1 command for the container")
					}
					return &corev1.PodExecOptions{Command: q["command"]}, nil
				},
				Stream: func(w http.ResponseWriter, r *http.Request, c *connect.Stream) error {
					_, err := io.WriteString(w, c.Namespace+"/"+c.Name+" "+strings.Join(c.Options.(*corev1.PodExecOptions).Command, " ")+" "+c.User.Name)
					return err
				},
			},
		}
		c.Admission = admission.Chain{refuseExec{}}
	}))
	want(t, env, call{method: "POST", path: podsPath + "/p/exec?command=a&command=b"}, 200, "default/p a b admin")
	want(t, env, call{method: "POST", path: podsPath + "/p/exec"}, 400, "you must specify at least 1 command for the container")
	want(t, env, call{method: "POST", path: podsPath + "/secret/exec?command=a"}, 403, `pods \"secret\" is forbidden: not this one`)
	want(t, env, call{method: "PUT", path: podsPath + "/p/exec?command=a"}, 405)
	want(t, env, call{method: "GET", path: podsPath + "/p/attach"}, 404)
}

// refuseExec lets nobody into the pod "secret".
type refuseExec struct{}

func (refuseExec) Name() string { return "RefuseExec" }
func (refuseExec) Handles(op admission.Operation, _ *resource.Definition, sub string) bool {
	return op == admission.Connect && sub == "exec"
}

func (refuseExec) Validate(_ context.Context, a *admission.Attributes) error {
	if a.Name == "secret" {
		return errors.New("not this one")
	}
	return nil
}

func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) {
		c.MaxReads = 1
		c.Livez = []health.Check{{Name: "slow", Check: func(*http.Request) error {
			close(entered)
			<-release
			return nil
		}}}
	}))
	client, err := restclient.HTTPClientFor(env.Config(&auth.User{Name: "u"}))
	if err != nil {
		t.Fatal(err)
	}
	get := func(path string) (*http.Response, error) {
		resp, err := client.Get(env.URL() + path)
		if err == nil {
			resp.Body.Close()
		}
		return resp, err
	}
	var first sync.WaitGroup
	first.Go(func() {
		if resp, err := get("/livez/slow"); err != nil || resp.StatusCode != 200 {
			t.Errorf("%v %v", resp, err)
		}
	})
	<-entered
	resp, err := get("/version")
	if err != nil || resp.StatusCode != 429 || resp.Header.Get("Retry-After") != "1" {
		t.Errorf("%v %v", resp, err)
	}
	// The operator gets in all the same, and so does this process.
	if _, err := env.Remote(apitest.AdminUser).Discovery().ServerVersion(); err != nil {
		t.Error(err)
	}
	if _, err := env.Admin.Discovery().ServerVersion(); err != nil {
		t.Error(err)
	}
	close(release)
	first.Wait()
}

func TestDeadline(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) {
		c.Timeout = time.Millisecond
		c.Connects = connect.Registry{{Resource: "serviceaccounts", Subresource: "token"}: {
			New:  func() runtime.Object { return new(authenticationv1.TokenRequest) },
			Kind: authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"),
			Answer: func(ctx context.Context, _ *connect.Input) (runtime.Object, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		}}
	}), apitest.WithNoNamespaces())
	s := status(t, want(t, env, call{method: "POST", path: "/api/v1/namespaces/default/serviceaccounts/a/token", body: "{}"}, 504))
	if s.Reason != "Timeout" {
		t.Errorf("%+v", s)
	}
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) { c.Authorizer = onlyAdmin }))
	_, err := env.Remote(nil).CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), `User "system:anonymous" cannot list resource "pods"`) {
		t.Errorf("%v", err)
	}
}

func TestUnauthorized(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) { c.Authenticator = nobody{} }))
	_, err := env.Remote(nil).CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if !apierrors.IsUnauthorized(err) || err.Error() != "Unauthorized" {
		t.Errorf("%v", err)
	}
}

type nobody struct{}

func (nobody) Authenticate(*http.Request) (*auth.User, error) {
	return nil, errors.New("bad credentials")
}

// Serve ends watches, finishes what is under way, and returns.
func TestServeDrains(t *testing.T) {
	t.Parallel()
	entered, release := make(chan struct{}), make(chan struct{})
	env := apitest.Start(t, logs(func(w http.ResponseWriter, r *http.Request, _ *connect.Stream) error {
		close(entered)
		<-release
		_, err := io.WriteString(w, "done")
		return err
	}))
	cfg := env.Config(apitest.AdminUser)
	tc, err := restclient.TLSConfigFor(cfg)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- env.Server.Serve(ctx, l) }()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: tc, ForceAttemptHTTP2: true}}
	t.Cleanup(client.CloseIdleConnections)
	answer := make(chan string, 1)
	go func() {
		resp, err := client.Get("https://" + l.Addr().String() + podsPath + "/p/log")
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		answer <- resp.Proto + " " + string(b)
	}()
	<-entered
	cancel()
	close(release)
	if got := <-answer; got != "HTTP/2.0 done" {
		t.Error(got)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestServeRefusesOldTLS(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	u, err := url.Parse(env.URL())
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", u.Host, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11})
	if err == nil {
		conn.Close()
		t.Error("TLS 1.1 was accepted")
	}
}

// Nothing secret is logged, at any level, whatever a request carries.
func TestLogsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	var out syncBuffer
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) {
		c.Log = slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c.Authorizer = onlyAdmin
	}))
	const secret = "s3cr3t-value"
	body := `{"metadata":{"name":"a"},"stringData":{"k":"` + secret + `"},"type":["` + secret + `"]}`
	want(t, env, call{method: "POST", path: "/api/v1/namespaces/default/secrets", body: body, header: map[string]string{"Authorization": "Bearer " + secret}}, 400)
	want(t, env, call{method: "GET", path: "/api/v1/secrets?token=" + secret, user: &auth.User{Name: "u"}}, 403)
	if strings.Contains(out.String(), secret) {
		t.Error(out.String())
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestReviews(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) { c.Authorizer = onlyAdmin }))
	const group = "/apis/authorization.k8s.io/v1/"
	want(t, env, call{method: "POST", path: group + "subjectaccessreviews", body: `{"spec":{"user":"u","resourceAttributes":{"verb":"get","resource":"pods"}}}`}, 201, `"allowed":false`, `"reason":"no reason"`)
	want(t, env, call{method: "POST", path: group + "selfsubjectaccessreviews", body: `{"spec":{"nonResourceAttributes":{"verb":"get","path":"/x"}}}`}, 201, `"allowed":true`)
	want(t, env, call{method: "POST", path: group + "subjectaccessreviews", body: `{"spec":{"user":"u"}}`}, 422, "exactly one of nonResourceAttributes or resourceAttributes must be specified")
	want(t, env, call{method: "POST", path: "/apis/authentication.k8s.io/v1/selfsubjectreviews", body: `{}`}, 201, `"username":"admin"`)
	want(t, env, call{method: "GET", path: group + "subjectaccessreviews"}, 405)
}
