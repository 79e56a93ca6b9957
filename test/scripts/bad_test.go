package scripts

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	restclient "k8s.io/client-go/rest"
)

var record = flag.Bool("record", false, "write the answers of the server that "+kubeconfigEnv+" names, an upstream one, to "+answersFile)

// answersFile holds what upstream's server answers to bad input.
const answersFile = "testdata/bad.json"

// answer is what a client sees of a response. The namespace in it is called NS.
type answer struct {
	Code    int                   `json:"code"`
	Reason  metav1.StatusReason   `json:"reason,omitempty"`
	Message string                `json:"message,omitempty"`
	Details *metav1.StatusDetails `json:"details,omitempty"`
}

// Bad bodies, options and headers get upstream's code, reason, words and
// details, as recorded from a server of upstream's, unless there is a reason.
func TestBadInput(t *testing.T) {
	s := server(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	ns, remove, err := s.namespace(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := remove(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := s.clients.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Data: map[string]string{"k": "v"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if _, err := s.clients.CoreV1().Pods(ns).Create(ctx, pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	send := sender(t, s, ns)
	cases := badInput(ns)
	if *record {
		writeAnswers(t, cases, send)
		return
	}
	upstream := readAnswers(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			want, ok := upstream[c.name]
			if !ok {
				t.Fatalf("no answer of upstream's is recorded: PROA_TEST_KUBECONFIG=… go test ./test/scripts -run TestBadInput -record")
			}
			if d, ok := differences[c.name]; ok && !foreign() {
				want = d.answer
			}
			got := send(t, c.request)
			if g, w := show(t, got), show(t, want); g != w {
				t.Errorf("answered\n%s\nwant\n%s", g, w)
			}
		})
	}
}

// Every difference is one of a case that there is, and is one.
func TestDifferences(t *testing.T) {
	t.Parallel()
	upstream := readAnswers(t)
	for name, d := range differences {
		u, ok := upstream[name]
		if !ok || d.why == "" {
			t.Errorf("%s: no such case, or no reason", name)
		}
		if show(t, u) == show(t, d.answer) {
			t.Errorf("%s: no difference", name)
		}
	}
}

func show(t *testing.T, a answer) string {
	t.Helper()
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sender sends requests as they are, over the network.
func sender(t *testing.T, s *target, ns string) func(*testing.T, request) answer {
	t.Helper()
	c, err := restclient.HTTPClientFor(s.rest)
	if err != nil {
		t.Fatal(err)
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	base, _, err := restclient.DefaultServerUrlFor(s.rest)
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T, q request) answer {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), q.method, base.String(), strings.NewReader(q.body))
		if err != nil {
			t.Fatal(err)
		}
		path, rawQuery, _ := strings.Cut(q.path, "?")
		if r.URL.Path, err = url.PathUnescape(path); err != nil {
			t.Fatal(err)
		}
		r.URL.RawPath, r.URL.RawQuery = path, rawQuery
		if q.contentType != "" {
			r.Header.Set("Content-Type", q.contentType)
		}
		if q.accept != "" {
			r.Header.Set("Accept", q.accept)
		}
		for k, v := range q.header {
			r.Header.Set(k, v)
		}
		res, err := c.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(io.LimitReader(res.Body, 8<<20))
		if err != nil {
			t.Fatal(err)
		}
		return read(t, res.StatusCode, body, ns)
	}
}

// read makes an answer of a response, without what differs from run to run.
func read(t *testing.T, code int, body []byte, ns string) answer {
	t.Helper()
	if code < 300 {
		return answer{Code: code}
	}
	var st metav1.Status
	if err := json.Unmarshal(body, &st); err != nil || st.Kind != "Status" || st.APIVersion != "v1" || st.Status != metav1.StatusFailure {
		return answer{Code: code, Message: short(string(body))}
	}
	if int(st.Code) != code {
		t.Errorf("the status has code %d in a response of %d", st.Code, code)
	}
	a := answer{Code: code, Reason: st.Reason, Message: shown(st.Message, ns), Details: st.Details}
	if a.Details != nil {
		a.Details.Name = strings.ReplaceAll(a.Details.Name, ns, "NS")
		for i := range a.Details.Causes {
			a.Details.Causes[i].Message = shown(a.Details.Causes[i].Message, ns)
		}
	}
	return a
}

// patchedObject is the object that a patch made, in the message about it: it has
// the times and revisions of the run.
var patchedObject = regexp.MustCompile(`Invalid value: "\{\\"apiVersion.*\}"`)

// shown is a message without what differs from run to run.
func shown(message, ns string) string {
	return short(patchedObject.ReplaceAllString(strings.ReplaceAll(message, ns, "NS"), `Invalid value: "{…}"`))
}

// short cuts what repeats a request without end.
func short(s string) string {
	const most = 600
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

func readAnswers(t *testing.T) map[string]answer {
	t.Helper()
	b, err := os.ReadFile(answersFile)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]answer
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func writeAnswers(t *testing.T, cases []badCase, send func(*testing.T, request) answer) {
	t.Helper()
	if !foreign() {
		t.Fatal("answers are recorded from the server that " + kubeconfigEnv + " names, which is to be upstream's")
	}
	m := map[string]answer{}
	for _, c := range cases {
		m[c.name] = send(t, c.request)
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(answersFile, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}
