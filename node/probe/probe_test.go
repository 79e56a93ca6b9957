package probe_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/exec"

	"proa/node/probe"
)

// script answers checks by the time since its start.
type script struct {
	mu     sync.Mutex
	checks []time.Duration
	began  time.Time
	answer func(d time.Duration, p *v1.Probe) probe.Outcome
}

func (s *script) Check(_ context.Context, _ probe.Target, p *v1.Probe) (probe.Outcome, string, error) {
	d := time.Since(s.began)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.checks = append(s.checks, d)
	return s.answer(d, p), "", nil
}

// made returns when checks were made.
func (s *script) made() []time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.checks)
}

func TestThresholdsAndDelays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &script{began: time.Now(), answer: func(d time.Duration, p *v1.Probe) probe.Outcome {
			if p.PeriodSeconds == 3 { // startup
				if d < 8*time.Second {
					return probe.Failure
				}
				return probe.Success
			}
			if d > 30*time.Second {
				return probe.Failure
			}
			return probe.Success
		}}
		m := probe.NewManager(ctx, probe.Config{
			Checker: s, Event: func(*v1.Pod, string, string, string, string) {}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		defer m.Wait()
		defer cancel()
		target := probe.Target{
			Pod: &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u"}}, ID: "c1", StartedAt: time.Now(),
			Container: &v1.Container{
				StartupProbe:   &v1.Probe{PeriodSeconds: 3, FailureThreshold: 10, InitialDelaySeconds: 2},
				ReadinessProbe: &v1.Probe{PeriodSeconds: 5, FailureThreshold: 2, SuccessThreshold: 2},
				LivenessProbe:  &v1.Probe{PeriodSeconds: 4, FailureThreshold: 3},
			},
		}
		state := func() probe.State { return m.Sync("u", []probe.Target{target})["c1"] }
		at := func(d time.Duration) probe.State {
			time.Sleep(d - time.Since(s.began))
			synctest.Wait()
			return state()
		}
		if st := state(); st.Started || st.Ready {
			t.Errorf("at first: %+v", st)
		}
		if st := at(7 * time.Second); st.Started {
			t.Errorf("started too early: %+v", st)
		}
		if s.made()[0] != 2*time.Second {
			t.Errorf("the first check came after %v", s.made()[0])
		}
		if st := at(9 * time.Second); !st.Started || st.Ready {
			t.Errorf("after the startup probe: %+v", st)
		}
		if st := at(14 * time.Second); !st.Ready {
			t.Errorf("after two successes: %+v", st)
		}
		if st := at(42 * time.Second); st.Ready || !st.LivenessFailed {
			t.Errorf("after failures: %+v", st)
		}
		// The end of the container ends its probes.
		m.Sync("u", nil)
		n := len(s.made())
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(s.made()) != n {
			t.Error("a probe outlives its container")
		}
	})
}

func TestReadinessIsFoundEarly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &script{began: time.Now(), answer: func(d time.Duration, _ *v1.Probe) probe.Outcome {
			if d < 70*time.Millisecond {
				return probe.Failure
			}
			return probe.Success
		}}
		m := probe.NewManager(ctx, probe.Config{Checker: s, Log: slog.New(slog.DiscardHandler), Event: func(_ *v1.Pod, _, _, reason, message string) {
			t.Errorf("event %s: %s", reason, message)
		}})
		defer m.Wait()
		defer cancel()
		c := &v1.Container{ReadinessProbe: &v1.Probe{PeriodSeconds: 10, ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{}}}}
		target := []probe.Target{{Pod: &v1.Pod{}, Container: c, ID: "c", StartedAt: time.Now()}}
		m.Sync("u", target)
		time.Sleep(200 * time.Millisecond)
		synctest.Wait()
		if !m.Sync("u", target)["c"].Ready {
			t.Errorf("a container that listens after 70 ms is not ready after 200: checks at %v", s.made())
		}
	})
}

func TestAgentRestartKeepsReadiness(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := &script{began: time.Now(), answer: func(time.Duration, *v1.Probe) probe.Outcome { return probe.Success }}
		m := probe.NewManager(ctx, probe.Config{Checker: s, Event: func(*v1.Pod, string, string, string, string) {}, Log: slog.New(slog.DiscardHandler)})
		defer m.Wait()
		defer cancel()
		c := &v1.Container{StartupProbe: &v1.Probe{}, ReadinessProbe: &v1.Probe{InitialDelaySeconds: 600}}
		st := m.Sync("u", []probe.Target{{Pod: &v1.Pod{}, Container: c, ID: "c", StartedAt: time.Now(), WasStarted: true, WasReady: true}})["c"]
		if !st.Started || !st.Ready {
			t.Errorf("a ready container is not ready after the agent's restart: %+v", st)
		}
	})
}

type execer func(cmd []string) ([]byte, error)

func (f execer) ExecSync(_ context.Context, _ string, cmd []string, _ time.Duration) ([]byte, []byte, error) {
	out, err := f(cmd)
	return out, nil, err
}

func port(t *testing.T, addr string) intstr.IntOrString {
	_, p, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return intstr.FromInt(n)
}

func TestChecks(t *testing.T) {
	t.Parallel()
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) {
		if r.UserAgent() != "kube-probe/1.36" || r.Host != "virtual" {
			http.Error(w, "who are you?", http.StatusForbidden)
		}
	})
	mux.HandleFunc("/bad", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://192.0.2.1/", http.StatusFound)
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	rpc, service := grpc.NewServer(), health.NewServer()
	service.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(rpc, service)
	go func() { _ = rpc.Serve(l) }()
	t.Cleanup(rpc.Stop)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := port(t, closed.Addr().String())
	_ = closed.Close()

	d := &probe.Dialer{Version: "1.36", Exec: execer(func(cmd []string) ([]byte, error) {
		switch cmd[0] {
		case "fails":
			return []byte("oh no"), exec.CodeExitError{Err: errors.New("exit 1"), Code: 1}
		case "hangs":
			return nil, context.DeadlineExceeded
		case "breaks":
			return nil, errors.New("no runtime")
		}
		return []byte("fine"), nil
	})}
	run := func(cmd string) v1.ProbeHandler {
		return v1.ProbeHandler{Exec: &v1.ExecAction{Command: []string{cmd}}}
	}
	get := func(path string) v1.ProbeHandler {
		return v1.ProbeHandler{HTTPGet: &v1.HTTPGetAction{Path: path, Port: intstr.FromString("web"), HTTPHeaders: []v1.HTTPHeader{{Name: "Host", Value: "virtual"}}}}
	}
	ask := func(name string) v1.ProbeHandler {
		return v1.ProbeHandler{GRPC: &v1.GRPCAction{Port: port(t, l.Addr().String()).IntVal, Service: &name}}
	}
	target := probe.Target{Pod: &v1.Pod{}, IP: "127.0.0.1", Container: &v1.Container{Ports: []v1.ContainerPort{{Name: "web", ContainerPort: port(t, web.Listener.Addr().String()).IntVal}}}}
	for _, tt := range []struct {
		name    string
		handler v1.ProbeHandler
		want    probe.Outcome
		output  string
		fails   bool
	}{
		{"exec", run("works"), probe.Success, "fine", false},
		{"exec fails", run("fails"), probe.Failure, "oh no", false},
		{"exec hangs", run("hangs"), probe.Failure, "timed out", false},
		{"exec cannot be made", run("breaks"), probe.Failure, "", true},
		{"http", get("/ok"), probe.Success, "", false},
		{"http fails", get("/bad"), probe.Failure, "HTTP probe failed with statuscode: 500", false},
		{"http is sent away", get("/away"), probe.Warning, "Probe terminated redirects", false},
		{"tcp", v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromString("web")}}, probe.Success, "", false},
		{"tcp fails", v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: nobody}}, probe.Failure, "connection refused", false},
		{"unknown port", v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromString("nope")}}, probe.Failure, "", true},
		{"grpc", ask(""), probe.Success, "service healthy", false},
		{"grpc fails", ask("down"), probe.Failure, `service unhealthy (responded with "NOT_SERVING")`, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, output, err := d.Check(t.Context(), target, &v1.Probe{ProbeHandler: tt.handler, TimeoutSeconds: 5})
			if got != tt.want || !strings.Contains(output, tt.output) || (err != nil) != tt.fails {
				t.Errorf("%v %q %v", got, output, err)
			}
		})
	}
}
