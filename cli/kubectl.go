package cli

import (
	"os"
	"os/exec"

	"github.com/spf13/cobra"
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

// newKubectl lists the command. Main has called it before it gets here, unless
// flags of proa stand before it.
func newKubectl() *cobra.Command {
	return &cobra.Command{
		Use: "kubectl", Short: "The Kubernetes command line", DisableFlagParsing: true,
		Run: func(_ *cobra.Command, args []string) { os.Exit(kubectl(append([]string{"kubectl"}, args...))) },
	}
}

func lookPath(name string) (string, error) { return exec.LookPath(name) }
