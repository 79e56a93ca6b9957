package controllertest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"proa/apiserver/apitest"
	"proa/controller"
)

// A Runner is Run.
type Runner func(t testing.TB, env *apitest.Env, c clock.WithTicker, definitions ...controller.Definition)

// failures are the ways in which a write fails.
var failures = []struct {
	name string
	// done says that the server does as it is asked, and only the answer fails.
	done   bool
	status *apierrors.StatusError
}{
	{"conflict", false, apierrors.NewConflict(schema.GroupResource{Resource: "things"}, "x", errors.New("it has been changed"))},
	{"forbidden", false, apierrors.NewForbidden(schema.GroupResource{Resource: "things"}, "x", errors.New("exceeded quota: q"))},
	{"refused", false, apierrors.NewInternalError(errors.New("out of order"))},
	{"lost", true, apierrors.NewTimeoutError("the answer was lost", 0)},
}

// maxWrites bounds a scenario: its controllers come to rest before.
const maxWrites = 200

// Sweep runs a scenario once for every write that its controllers make, and lets
// that one fail, in each way that a write can. Whatever fails, the scenario is to
// come to the same end.
func Sweep(t *testing.T, scenario func(t *testing.T, run Runner)) {
	t.Helper()
	for _, way := range failures {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			for n := range maxWrites {
				f := &fault{nth: n, done: way.done, status: way.status}
				ok := t.Run(fmt.Sprint(n), func(t *testing.T) {
					scenario(t, func(t testing.TB, env *apitest.Env, c clock.WithTicker, definitions ...controller.Definition) {
						run(t, env, c, f.wrap, definitions)
					})
				})
				if !ok || !f.fired() {
					return
				}
			}
			t.Fatalf("the controllers still write after %d writes", maxWrites)
		})
	}
}

// fault makes one write fail.
type fault struct {
	done   bool
	status *apierrors.StatusError
	next   http.RoundTripper

	mu     sync.Mutex
	nth    int // to go before it
	failed bool
}

func (f *fault) wrap(next http.RoundTripper) http.RoundTripper {
	f.next = next
	return f
}

func (f *fault) fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

// strikes counts a write, and says whether it is the one.
func (f *fault) strikes() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nth--
	f.failed = f.failed || f.nth == -1
	return f.nth == -1
}

// RoundTrip implements http.RoundTripper.
func (f *fault) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || !f.strikes() {
		return f.next.RoundTrip(r)
	}
	if f.done {
		res, err := f.next.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
		if err != nil {
			return nil, err
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			return nil, err
		}
		res.Body.Close()
	}
	status := f.status.Status()
	status.APIVersion, status.Kind = "v1", "Status"
	body, err := json.Marshal(status)
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: int(status.Code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)),
	}, nil
}
