package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/tools/clientcmd"

	"proa/pki"
)

// admin writes the operator's kubeconfig of a cluster.
func admin(t *testing.T, server, ca string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin.kubeconfig")
	k := pki.Kubeconfig{Name: ContextName, User: "kubernetes-admin", Server: server, CA: []byte(ca), Cert: []byte("c"), Key: []byte("k")}
	if err := k.Write(path); err != nil {
		t.Fatal(err)
	}
	return path
}

const foreign = `apiVersion: v1
kind: Config
clusters:
- name: work
  cluster: {server: "https://work:6443"}
contexts:
- name: work
  context: {cluster: work, user: me, namespace: mine}
current-context: work
users:
- name: me
  user: {token: t}
`

// The user's files are what KUBECONFIG names, for each test its own, so these
// tests run one after another.

func TestMergeKeepsWhatIsThere(t *testing.T) {
	first, second := write(t, "first", foreign), filepath.Join(t.TempDir(), "new", "second")
	t.Setenv("KUBECONFIG", first+string(filepath.ListSeparator)+second)
	path := admin(t, "https://127.0.0.1:6443", "ca")
	for range 2 { // the second time changes nothing
		name, file, err := MergeKubeconfig(path)
		if err != nil || name != "proa" {
			t.Fatal(name, file, err)
		}
		c, err := clientcmd.NewDefaultPathOptions().GetStartingConfig()
		if err != nil {
			t.Fatal(err)
		}
		if c.CurrentContext != "proa" || c.Clusters["proa"].Server != "https://127.0.0.1:6443" || len(c.Clusters) != 2 {
			t.Errorf("got %+v", c)
		}
		if w := c.Contexts["work"]; w == nil || w.Namespace != "mine" || c.AuthInfos["me"].Token != "t" {
			t.Errorf("what was there has changed: %+v", c.Contexts)
		}
	}
	if err := RemoveKubeconfig(path); err != nil {
		t.Fatal(err)
	}
	c, err := clientcmd.NewDefaultPathOptions().GetStartingConfig()
	if err != nil || len(c.Clusters) != 1 || c.Contexts["work"] == nil || c.Contexts["proa"] != nil || c.CurrentContext != "" {
		t.Errorf("after removal: %+v %v", c, err)
	}
}

// A cluster of the same name that is another one stays, whichever is removed.
func TestMergeBesideAnotherProa(t *testing.T) {
	t.Setenv("KUBECONFIG", filepath.Join(t.TempDir(), "config"))
	one, two := admin(t, "https://10.0.0.1:6443", "ca1"), admin(t, "https://10.0.0.2:6443", "ca2")
	moved := admin(t, "https://10.0.0.3:7443", "ca2")
	for _, s := range []struct{ path, name string }{{one, "proa"}, {two, "proa-2"}, {one, "proa"}, {moved, "proa-2"}} {
		if name, _, err := MergeKubeconfig(s.path); err != nil || name != s.name {
			t.Errorf("%s became %s: %v", s.path, name, err)
		}
	}
	if err := RemoveKubeconfig(moved); err != nil {
		t.Fatal(err)
	}
	c, err := clientcmd.NewDefaultPathOptions().GetStartingConfig()
	if err != nil || len(c.Clusters) != 1 || c.Clusters["proa"].Server != "https://10.0.0.1:6443" || len(c.AuthInfos) != 1 {
		t.Errorf("got %+v %v", c, err)
	}
}

func TestBrokenKubeconfigIsLeftAlone(t *testing.T) {
	file := write(t, "config", "no: [yaml")
	t.Setenv("KUBECONFIG", file)
	path := admin(t, "https://127.0.0.1:6443", "ca")
	if _, _, err := MergeKubeconfig(path); err == nil || !strings.Contains(err.Error(), "repair it, or point KUBECONFIG at another file") {
		t.Errorf("merge: %v", err)
	}
	if err := RemoveKubeconfig(path); err == nil {
		t.Error("removal from a broken file succeeds")
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "no: [yaml" {
		t.Errorf("the file was written: %s %v", b, err)
	}
}

// A part says what is wrong with its kubeconfig before it starts anything.
func TestReadKubeconfig(t *testing.T) {
	t.Parallel()
	missing := strings.Replace(foreign, "{token: t}", "{client-certificate: /missing.crt, client-key: /missing.key}", 1)
	badCA := strings.Replace(foreign, `"https://work:6443"`, `"https://work:6443", certificate-authority-data: bm9uZQ==`, 1)
	for name, c := range map[string]struct{ data, want string }{
		"good":                {foreign, ""},
		"empty":               {"", "it is empty"},
		"no YAML":             {"a: [", "yaml"},
		"without clusters":    {"apiVersion: v1\nkind: Config\n", "no configuration"},
		"missing certificate": {missing, "/missing.crt"},
		"broken authority":    {badCA, "certificate"},
	} {
		file := write(t, "kubeconfig", c.data)
		_, err := readKubeconfig(file)
		if c.want == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "--kubeconfig") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := readKubeconfig(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Error("a missing file means a cluster that this process is in")
	}
}
