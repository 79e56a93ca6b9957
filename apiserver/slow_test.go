package apiserver_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	restclient "k8s.io/client-go/rest"

	"proa/apiserver"
	"proa/apiserver/apitest"
)

// A client that sends its body byte by byte, or does not read what it asked
// for, is cut off at the request's deadline. Until then it holds one of the few
// places of requests in flight; afterwards they are free.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/1.1", "h2"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			env := apitest.Start(t, apitest.WithConfig(func(c *apiserver.Config) {
				c.Timeout, c.MaxReads, c.MaxWrites = 2*time.Second, 1, 1
			}))
			config := env.Config(nil)
			config.NextProtos = []string{protocol}
			client, err := restclient.HTTPClientFor(config)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(client.CloseIdleConnections)
			for i := range 20 {
				body := cm(fmt.Sprint("big", i), `,"data":{"k":"`+strings.Repeat("x", 256<<10)+`"}`)
				want(t, env, call{method: "POST", path: cms, body: body}, 201)
			}

			// A body of which nothing more comes after its first bytes.
			body, rest := io.Pipe()
			go func() { _, _ = io.WriteString(rest, `{"kind":`) }()
			r, err := http.NewRequestWithContext(t.Context(), "POST", env.URL()+cms, body)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/json")
			res, err := client.Do(r)
			if err == nil { // HTTP/1.1 may have cut the connection before the answer was read
				text, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != 504 || !strings.Contains(string(text), `"reason":"Timeout"`) {
					t.Errorf("a slow body: %d %s", res.StatusCode, text)
				}
			}
			created(t, client, env.URL(), "after-body")

			if res, err = client.Get(env.URL() + cms); err != nil {
				t.Fatal(err)
			}
			for n := 0; ; n++ {
				again, err := client.Get(env.URL() + cms + "/big1")
				if err != nil {
					t.Fatal(err)
				}
				_, err = io.Copy(io.Discard, again.Body)
				again.Body.Close()
				if err == nil && again.StatusCode == 200 {
					break // the place of the one that does not read is free
				}
				if n > 1000 {
					t.Fatal("a client that does not read holds its place")
				}
				time.Sleep(10 * time.Millisecond)
			}
			text, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil {
				t.Errorf("a response of %d bytes was kept for a client that did not read it", len(text))
			}
		})
	}
}

func created(t *testing.T, client *http.Client, url, name string) {
	t.Helper()
	res, err := client.Post(url+cms, "application/json", strings.NewReader(cm(name, "")))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != 201 {
		t.Errorf("a quick request after a slow one: %d", res.StatusCode)
	}
}
