package local

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"proa/auth"
)

func do(t *testing.T, ctx context.Context, h http.HandlerFunc) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, "GET", "http://local/x?y=1", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := (&Transport{Handler: h, User: &auth.User{Name: "me"}}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	resp := do(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-User", auth.UserFrom(r.Context()).Name)
		w.WriteHeader(201)
		io.WriteString(w, strings.Repeat("x", 5<<20))
	})
	b, err := io.ReadAll(resp.Body)
	if err != nil || len(b) != 5<<20 || resp.StatusCode != 201 || resp.Header.Get("X-User") != "me" {
		t.Errorf("%d bytes, %d, %v", len(b), resp.StatusCode, err)
	}
}

func TestStream(t *testing.T) {
	t.Parallel()
	ended := make(chan struct{})
	next := make(chan struct{})
	resp := do(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		http.NewResponseController(w).Flush()
		for i := 0; ; i++ {
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
			fmt.Fprintf(w, "event %d\n", i)
			http.NewResponseController(w).Flush()
		}
	})
	lines := bufio.NewScanner(resp.Body)
	for i := range 3 {
		next <- struct{}{}
		if !lines.Scan() || lines.Text() != fmt.Sprint("event ", i) {
			t.Fatalf("%q %v", lines.Text(), lines.Err())
		}
	}
	resp.Body.Close()
	<-ended
}

func TestCancelEndsReader(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	resp := do(t, ctx, func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	cancel()
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil {
		t.Error("the body did not end")
	}
}

func TestSlowReaderBoundsWriter(t *testing.T) {
	t.Parallel()
	ended := make(chan error, 1)
	resp := do(t, t.Context(), func(w http.ResponseWriter, r *http.Request) {
		var err error
		for err == nil {
			_, err = w.Write(make([]byte, 64<<10))
		}
		ended <- err
	})
	resp.Body.Close()
	if err := <-ended; err == nil {
		t.Error("writing to a closed body succeeded")
	}
}
