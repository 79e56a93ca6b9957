package e2e

import (
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"k8s.io/client-go/util/cert"
)

// browser asks for pages from inside the cluster's network namespace, as somebody
// beside the node does.
type browser struct{ client http.Client }

func (c *cluster) browser(serverName string) *browser {
	return &browser{http.Client{
		Transport: &http.Transport{
			DialContext: c.dial, TLSClientConfig: &tls.Config{ServerName: serverName, InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// get returns the answer in one line: status, the certificate's name, the body.
func (b *browser) get(url, host string) string {
	q, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err.Error()
	}
	q.Host = host
	r, err := b.client.Do(q)
	if err != nil {
		return err.Error()
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return err.Error()
	}
	name := ""
	if r.TLS != nil {
		name = strings.Join(r.TLS.PeerCertificates[0].DNSNames, ",")
	}
	return fmt.Sprintf("%d %s %s%s", r.StatusCode, name, r.Header.Get("Location"), strings.ReplaceAll(string(body), "\n", " "))
}

// TestIngress reaches pods from outside by host and path, with TLS and without,
// while they are replaced.
func TestIngress(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	u := c.userIn(t, "default")
	u.kubectl("apply", "-f", example(t, "hello-deployment.yaml"))
	u.kubectl("expose", "deployment", "hello", "--port=80", "--target-port=8080")
	b := c.browser("safe.example")
	if out := b.get("http://"+nodeAddress+"/", "hello.example"); !strings.Contains(out, "refused") {
		t.Errorf("without an Ingress port 80 answers %q", out)
	}
	certificate, key, err := cert.GenerateSelfSignedCertKey("safe.example", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	u.apply(fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: safe}
type: kubernetes.io/tls
data: {tls.crt: %s, tls.key: %s}
`, base64.StdEncoding.EncodeToString(certificate), base64.StdEncoding.EncodeToString(key)))
	// No class: the cluster's own is the default.
	u.kubectl("create", "ingress", "hello", "--rule=hello.example/app*=hello:80", "--rule=safe.example/*=hello:80,tls=safe")
	u.kubectl("wait", "--for=jsonpath={.status.loadBalancer.ingress[0].ip}="+nodeAddress, "ingress/hello", "--timeout=60s")
	u.kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
	u.want([]string{"hello", "proa", "hello.example,safe.example", nodeAddress, "80, 443"}, "get", "ingress")
	for _, x := range []struct{ url, host, want string }{
		{"http://" + nodeAddress + "/app/x", "hello.example", "200  Hello from hello-"},
		{"http://" + nodeAddress + "/other", "hello.example", "404"},
		{"http://" + nodeAddress + "/", "nobody.example", "404"},
		{"http://" + nodeAddress + "/x", "safe.example", "308  https://safe.example/x"},
		{"https://" + nodeAddress + "/x", "safe.example", "200 safe.example"},
	} {
		eventually(t, func() string {
			if out := b.get(x.url, x.host); !strings.HasPrefix(out, x.want) {
				return fmt.Sprintf("%s of %s: %q, want %q", x.url, x.host, out, x.want)
			}
			return ""
		})
	}
	// While all pods are replaced, and the Ingress changes, no request fails.
	done := make(chan struct{})
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			b := c.browser("")
			for {
				select {
				case <-done:
					return
				default:
				}
				if out := b.get("http://"+nodeAddress+"/app", "hello.example"); !strings.HasPrefix(out, "200") {
					t.Errorf("during a rollout: %q", out)
					return
				}
			}
		})
	}
	u.kubectl("set", "image", "deployment/hello", "hello=proa.local/hello:2")
	u.kubectl("annotate", "ingress", "hello", "proa.dev/ssl-redirect=false")
	u.kubectl("rollout", "status", "deployment/hello", "--timeout=60s")
	close(done)
	users.Wait()
	eventually(t, func() string {
		if out := b.get("http://"+nodeAddress+"/", "safe.example"); !strings.Contains(out, "version: 2") {
			return fmt.Sprintf("without the redirect: %q", out)
		}
		return ""
	})
	u.kubectl("delete", "ingress", "hello")
	eventually(t, func() string {
		if out := c.browser("").get("http://"+nodeAddress+"/", "hello.example"); !strings.Contains(out, "refused") {
			return fmt.Sprintf("without an Ingress any more port 80 answers %q", out)
		}
		return ""
	})
}
