package proxy

import (
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	h := newHealth(slog.New(slog.DiscardHandler))
	var at string
	h.listen = func(uint16) (net.Listener, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err == nil {
			at = "http://" + l.Addr().String() + "/healthz"
		}
		return l, err
	}
	name := types.NamespacedName{Namespace: "shop", Name: "web"}
	for ready, status := range []int{http.StatusServiceUnavailable, http.StatusOK} {
		if err := h.set(map[types.NamespacedName]Plan{name: {Health: 30999, Ready: ready}}); err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != status || !strings.HasPrefix(string(body), `{"service":{"namespace":"shop","name":"web"},"localEndpoints":`) {
			t.Errorf("%d ready: %d %s %v", ready, resp.StatusCode, body, err)
		}
	}
	if err := h.set(nil); err != nil {
		t.Fatal(err)
	}
	if resp, err := http.Get(at); err == nil {
		resp.Body.Close()
		t.Error("the port of a service that is gone still answers")
	}
}
