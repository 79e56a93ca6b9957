package cli

import (
	"os"
	"os/exec"

	componentcli "k8s.io/component-base/cli"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
)

// kubectl is upstream's command line, linked in.
func kubectl(args []string) int {
	os.Args = args
	if err := componentcli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // prints and exits as kubectl does
	}
	return 0
}

func lookPath(name string) (string, error) { return exec.LookPath(name) }
