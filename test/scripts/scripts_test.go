package scripts

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/kubectl/pkg/cmd"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"kubectl": kubectl, "ask": ask})
}

// kubectl is the command of that name in scripts.
func kubectl() {
	c := cmd.NewDefaultKubectlCommand()
	c.SetArgs(os.Args[1:])
	if err := c.Execute(); err != nil {
		os.Exit(1)
	}
}

func TestScripts(t *testing.T) {
	s := server(t)
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: false,
		Setup:               func(e *testscript.Env) error { return setup(e, s) },
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"keep": keep},
	})
}

// keep is the command of that name in scripts: it keeps what the last command
// wrote in a variable, without the white space around it.
//
//	keep NAME
func keep(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: keep NAME")
	}
	ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
}

// setup gives a script its namespace and kubeconfig.
func setup(e *testscript.Env, s *target) error {
	ns, remove, err := s.namespace(context.Background())
	if err != nil {
		return err
	}
	e.Defer(func() {
		// The server may be one that lives on.
		if err := remove(); err != nil {
			e.T().Log(err)
		}
	})
	own := s.kubeconfig.DeepCopy()
	current := own.Contexts[own.CurrentContext]
	if current == nil {
		return errors.New("the kubeconfig has no current context")
	}
	current.Namespace = ns
	file := filepath.Join(e.WorkDir, "kubeconfig")
	if err := clientcmd.WriteToFile(*own, file); err != nil {
		return err
	}
	e.Setenv("KUBECONFIG", file)
	e.Setenv("NS", ns)
	e.Setenv("HOME", e.WorkDir)
	return nil
}
