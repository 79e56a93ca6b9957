package interchange

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/clientcmd"

	"proa/test/parts"
)

// objectsFile has one valid object of every kind, each with this name.
const (
	objectsFile = "../../resource/builtin/testdata/objects.yaml"
	objectName  = "a"
)

// TestPortable writes objects with one API server and reads them with the next
// over the same store. Without upstream's programs the next is Proa's again.
func TestPortable(t *testing.T) {
	pairs := [][2]parts.Maker{{parts.Proa, parts.Proa}}
	if os.Getenv(upstreamEnv) != "" {
		pairs = append(pairs, [2]parts.Maker{parts.Proa, parts.Upstream}, [2]parts.Maker{parts.Upstream, parts.Proa})
	}
	for _, pair := range pairs {
		t.Run(fmt.Sprintf("%s writes, %s reads", pair[0], pair[1]), func(t *testing.T) {
			c := newCluster(t, parts.Makers{parts.APIServer: pair[0]})
			c.startAPI()
			c.writeObjects()
			written := c.readObjects()
			running := c.Running()
			if err := c.Stop(running[len(running)-1]); err != nil {
				t.Fatal(err)
			}
			c.Makers[parts.APIServer] = pair[1]
			c.startServer()
			read := c.readObjects()
			compared := 0
			for resource, was := range written {
				now, ok := read[resource]
				if !ok {
					t.Logf("%s is not served by %s's", resource, pair[1])
					continue
				}
				compared++
				if diff := cmp.Diff(was.Object, now.Object); diff != "" {
					t.Errorf("%s written by %s's reads otherwise by %s's (-written +read):\n%s", resource, pair[0], pair[1], diff)
				}
			}
			if least := len(written) / 2; compared <= least {
				t.Errorf("%d of %d objects could be compared", compared, len(written))
			}
		})
	}
}

// startServer starts the API server again, over the store that there is.
func (c *cluster) startServer() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.StartServer(ctx); err != nil {
		c.t.Fatal(err)
	}
}

// writeObjects creates one object of every kind that the server has. Those of
// others are refused, and are not read later.
func (c *cluster) writeObjects() {
	c.t.Helper()
	// No controller makes it here, and pods need one.
	account := &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := c.client.CoreV1().ServiceAccounts("default").Create(context.Background(), account, metav1.CreateOptions{}); err != nil {
		c.t.Fatal(err)
	}
	if out, err := c.feed("", "create", "-f", objectsFile); err != nil {
		c.t.Fatalf("not all objects could be created: %s", out)
	}
}

// readObjects reads the objects by that name of everything that the server
// lists, by resource.
func (c *cluster) readObjects() map[schema.GroupVersionResource]*unstructured.Unstructured {
	c.t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", c.Admin())
	if err != nil {
		c.t.Fatal(err)
	}
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		c.t.Fatal(err)
	}
	_, lists, err := c.client.Discovery().ServerGroupsAndResources()
	if err != nil && !discovery.IsGroupDiscoveryFailedError(err) {
		c.t.Fatal(err)
	}
	found := map[schema.GroupVersionResource]*unstructured.Unstructured{}
	for _, l := range lists {
		gv, err := schema.ParseGroupVersion(l.GroupVersion)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, r := range l.APIResources {
			if strings.Contains(r.Name, "/") || !slices.Contains(r.Verbs, "list") {
				continue
			}
			gvr := gv.WithResource(r.Name)
			all, err := client.Resource(gvr).List(context.Background(), metav1.ListOptions{})
			if err != nil {
				c.t.Errorf("list %s: %v", gvr, err)
				continue
			}
			for i := range all.Items {
				if all.Items[i].GetName() == objectName {
					found[gvr] = &all.Items[i]
				}
			}
		}
	}
	return found
}
