package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestGuestbook is the application of two tiers as a visitor meets it: by name,
// through an Ingress, with a store behind a service that keeps what was written when
// its process is ended.
func TestGuestbook(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	u := c.userIn(t, "default")
	u.kubectl("apply", "-f", example(t, "guestbook.yaml"))
	u.kubectl("rollout", "status", "statefulset/store", "deployment/guestbook", "--timeout=80s")
	u.kubectl("wait", "--for=jsonpath={.status.loadBalancer.ingress[0].ip}="+nodeAddress, "ingress/guestbook", "--timeout=60s")
	b := c.browser("")
	const host = "guestbook.localhost"
	// Browsers take the name for this machine itself.
	for _, address := range []string{nodeAddress, "127.0.0.1"} {
		eventually(t, func() string {
			if out := b.get("http://"+address+"/", host); !strings.HasPrefix(out, "200") || !strings.Contains(out, "from pod guestbook-") {
				return fmt.Sprintf("the page at %s: %q", address, out)
			}
			return ""
		})
	}
	for _, entry := range []string{"first", "<b>second</b>"} {
		q, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+nodeAddress+"/", strings.NewReader(url.Values{"entry": {entry}}.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		q.Host = host
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r, err := b.client.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusSeeOther || r.Header.Get("Location") != "/" {
			t.Errorf("an entry is answered %s, to %q", r.Status, r.Header.Get("Location"))
		}
	}
	const written = "<li>&lt;b&gt;second&lt;/b&gt;</li> <li>first</li>"
	if out := b.get("http://"+nodeAddress+"/", host); !strings.Contains(out, written) {
		t.Errorf("what was written is not on the page: %q", out)
	}
	// It may take the one who ends it along.
	if out, err := u.try("", "exec", "store-0", "--", "kill", "1"); err != nil && !strings.Contains(out+err.Error(), "137") {
		t.Fatalf("the store cannot be ended: %v\n%s", err, out)
	}
	u.kubectl("wait", "--for=jsonpath={.status.containerStatuses[0].restartCount}=1", "pod/store-0", "--timeout=60s")
	eventually(t, func() string {
		if out := b.get("http://"+nodeAddress+"/", host); !strings.Contains(out, written) {
			return fmt.Sprintf("after the store was ended: %q", out)
		}
		return ""
	})
}
