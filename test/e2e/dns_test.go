package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestDNS changes how names are answered, as users of CoreDNS do.
func TestDNS(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	u, system := c.userIn(t, "default"), c.userIn(t, "kube-system")
	u.kubectl("run", "client", "--image=proa.local/hello:1", "--command", "--", "sleep", "1000000")
	u.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
	is := func(name, want string) {
		t.Helper()
		eventually(t, func() string {
			if out, _ := u.try("", "exec", "client", "--", "nslookup", name); !strings.Contains(out, want) {
				return "nslookup " + name + " does not print " + want + ": " + out
			}
			return ""
		})
	}
	is("kubernetes", "10.43.0.1")
	// edit is kubectl edit, with a stream editor for an editor.
	edit := func(script string) {
		t.Helper()
		file := filepath.Join(c.dir, "script")
		if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
			t.Fatal(err)
		}
		line := system.line("edit", "configmap", "coredns")
		if out, err := c.command("", "env", append([]string{"KUBE_EDITOR=sed -i -f " + file}, line...)...); err != nil || !strings.Contains(out, "edited") {
			t.Fatalf("kubectl edit: %v\n%s", err, out)
		}
	}
	edit(`s/^\( *\)ready$/&\n\1rewrite name shop.example kubernetes.default.svc.cluster.local\n\1hosts {\n\1  10.9.9.9 edited.example\n\1  fallthrough\n\1}/`)
	is("edited.example", "10.9.9.9")
	is("shop.example", "10.43.0.1")
	is("kubernetes", "10.43.0.1")
	system.apply(`
apiVersion: v1
kind: ConfigMap
metadata: {name: coredns-custom}
data:
  stub.server: |
    stub.example {
      hosts {
        10.9.9.8 www.stub.example
      }
    }
`)
	is("www.stub.example", "10.9.9.8")
	// A mistake is told of, and breaks nothing.
	edit("s/rewrite name/rewrote name/")
	system.event("coredns", "InvalidCorefile", "rewrote: is not supported here")
	is("shop.example", "10.43.0.1")
	edit("s/rewrote name shop/rewrite name store/")
	is("store.example", "10.43.0.1")
	// What users have written outlives a restart.
	c.down()
	c.up()
	u.kubectl("wait", "--for=condition=Ready", "pod/client", "--timeout=60s")
	is("store.example", "10.43.0.1")
	is("www.stub.example", "10.9.9.8")
}
