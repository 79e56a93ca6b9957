package authtest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
)

// Webhook answers reviews of type T, over TLS. Answer completes the review; a status
// other than 0 is answered in its place.
func Webhook[T any](t testing.TB, answer func(review *T) (status int)) (kubeconfig string) {
	t.Helper()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review T
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			t.Errorf("a webhook was sent what is no review: %v", err)
		}
		if status := answer(&review); status != 0 {
			w.Header().Set("Location", "https://127.0.0.1:1/")
			w.WriteHeader(status)
			return
		}
		reply(w, review)
	}))
	t.Cleanup(s.Close)
	return Kubeconfig(t, s.URL, authority(s))
}

// Kubeconfig writes a file that names a server.
func Kubeconfig(t testing.TB, url, ca string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "webhook.kubeconfig")
	data := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority-data: %s}}]
users: [{name: u, user: {}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, url, base64.StdEncoding.EncodeToString([]byte(ca)))
	if err := os.WriteFile(path, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
