package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"proa/version"
)

// call runs a command line in this process.
func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	root := newRoot()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(&out)
	root.SetArgs(args)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

func TestHelp(t *testing.T) {
	t.Parallel()
	out, err := call(t, "help")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"up", "down", "status", "server", "agent", "apiserver", "controller-manager", "scheduler", "kubelet", "kubectl", "image", "version", "completion"} {
		if !strings.Contains(out, "\n  "+name+" ") {
			t.Errorf("help does not list %s:\n%s", name, out)
		}
	}
	for _, c := range newRoot().Commands() {
		if c.Short == "" {
			t.Errorf("%s says nothing about itself", c.Name())
		}
	}
}

func TestVersionAndCompletion(t *testing.T) {
	t.Parallel()
	if out, err := call(t, "version"); err != nil || !strings.Contains(out, version.Kubernetes) {
		t.Errorf("version: %s %v", out, err)
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if out, err := call(t, "completion", shell); err != nil || !strings.Contains(out, "__complete") {
			t.Errorf("completion of %s: %v", shell, err)
		}
	}
	out, err := call(t, "__complete", "sch")
	if err != nil || !slices.Contains(strings.Fields(out), "scheduler") {
		t.Errorf("completed: %s %v", out, err)
	}
}

// Every error is one line that says what to do, and nothing is started.
func TestErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	if err := os.WriteFile(bad, []byte("api: {prot: 1}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "d")
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"fly"}, `unknown command "fly"`},
		{[]string{"up", "--speed", "9"}, "unknown flag: --speed"},
		{[]string{"up", "now"}, `unknown command "now"`},
		{[]string{"up", "--config", bad}, bad},
		{[]string{"up", "--config", filepath.Join(dir, "missing.yaml")}, "missing.yaml"},
		{[]string{"up", "--data-dir", data, "--pod-cidr", "x", "--cni", "y"}, "network.cni"},
		{[]string{"status", "--data-dir", data}, `start one with "proa up"`},
		{[]string{"scheduler"}, `required flag(s) "kubeconfig" not set`},
		{[]string{"scheduler", "--kubeconfig", bad}, "give another with --kubeconfig"},
		{[]string{"controller-manager", "--kubeconfig", filepath.Join(dir, "missing")}, "give another with --kubeconfig"},
		{[]string{"agent", "--data-dir", data, "--kubeconfig", bad}, "give another with --kubeconfig"},
		{[]string{"kubelet", "--config", bad}, bad},
		{[]string{"image", "import", "--data-dir", data}, "requires at least 1 arg"},
	} {
		_, err := call(t, c.args...)
		if err == nil {
			t.Errorf("%v succeeds", c.args)
			continue
		}
		if line := oneLine(err); !strings.Contains(line, c.want) || strings.Contains(line, "\n") {
			t.Errorf("%v: got %q, want %q", c.args, line, c.want)
		}
	}
	if _, err := os.Stat(data); err == nil {
		t.Error("a command that failed has made the data directory")
	}
}

func TestOneLine(t *testing.T) {
	t.Parallel()
	if got := oneLine(errors.Join(errors.New("a"), errors.New("b\n"))); got != "proa: a; b" {
		t.Errorf("got %q", got)
	}
}
