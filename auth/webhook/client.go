package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/client-go/rest"
)

// maxAnswer bounds what a server answers, in bytes.
const maxAnswer = 1 << 20

// patience bounds all attempts together: a request that waits for an answer holds a
// place that others want.
const patience = time.Minute

// retries are upstream's: five attempts, the second after half a second.
func retries() wait.Backoff {
	return webhook.DefaultRetryBackoffWithInitialDelay(500 * time.Millisecond)
}

// client reads the kubeconfig of a server.
func client(kubeconfig string, timeout time.Duration) (*rest.Config, error) {
	bad := func(err error) error {
		return fmt.Errorf("kubeconfig %s of a webhook cannot be used; correct it, or name another: %w", kubeconfig, err)
	}
	// An empty name or file would mean the cluster that this process may be a pod of.
	if data, err := os.ReadFile(kubeconfig); err != nil {
		return nil, bad(err)
	} else if len(data) == 0 {
		return nil, bad(errors.New("it is empty"))
	}
	c, err := webhook.LoadKubeconfig(kubeconfig, nil)
	if err != nil {
		return nil, bad(err)
	}
	if !strings.HasPrefix(c.Host, "https://") {
		return nil, bad(fmt.Errorf("the server %q is not reached by https, so that anybody on the way could answer for it", c.Host))
	}
	if timeout > 0 {
		c.Timeout = timeout
	}
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return bounded{next} })
	return c, nil
}

// bounded makes redirects and large answers errors (CVE-2020-8561).
type bounded struct{ next http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := b.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 && answer.StatusCode < 400 {
		answer.Body.Close()
		return nil, errors.New("the webhook redirects elsewhere, where it is not followed")
	}
	answer.Body = http.MaxBytesReader(nil, answer.Body, maxAnswer)
	return answer, nil
}

// WrappedRoundTripper lets the library find the connection below.
func (b bounded) WrappedRoundTripper() http.RoundTripper { return b.next }
