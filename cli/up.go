package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"proa/cluster"
)

func newUp() *cobra.Command {
	var f clusterFlags
	var keep bool
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "up", GroupID: "local", Args: cobra.NoArgs,
		Short: "Start a cluster in the background and wait until it is ready",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.load(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			return up(ctx, cmd.OutOrStdout(), c, !keep)
		},
	}
	f.addServer(cmd)
	cmd.Flags().BoolVar(&keep, "keep-kubeconfig", false, "do not add the cluster to your kubeconfig")
	cmd.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how long to wait until the cluster is ready")
	return cmd
}

// stepNames are what a user sees of a start.
var stepNames = map[string]string{
	cluster.StepStore:   "store",
	cluster.StepRuntime: "container runtime",
	cluster.StepAPI:     "API server",
	cluster.StepNode:    "node",
	cluster.StepReady:   "cluster",
}

func up(ctx context.Context, out io.Writer, c *cluster.Config, merge bool) error {
	start := time.Now()
	pid, err := cluster.Running(c)
	if err != nil {
		return err
	}
	if pid != 0 {
		fmt.Fprintf(out, "The cluster is running already (process %d).\n", pid)
	} else {
		if err := cluster.Preflight(c); err != nil {
			return err
		}
		if err := cluster.Spawn(ctx, c, printProgress(out)); err != nil {
			return err
		}
		fmt.Fprintf(out, "The cluster is ready after %d ms.\n", time.Since(start).Milliseconds())
	}
	if merge {
		name, file, err := cluster.MergeKubeconfig(c.AdminKubeconfig())
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "Context %q is in %s.\n", name, file)
	}
	fmt.Fprint(out, nextThings())
	return nil
}

// printProgress prints the steps of a start.
func printProgress(out io.Writer) func(cluster.Progress) {
	return func(p cluster.Progress) {
		if name, ok := stepNames[p.Step]; ok && p.Step != cluster.StepReady {
			fmt.Fprintf(out, "  %-18s ready after %4d ms  %s\n", name, p.After.Milliseconds(), p.Detail)
		}
	}
}

func nextThings() string {
	kubectl := "kubectl"
	if _, err := lookPath("kubectl"); err != nil {
		kubectl = os.Args[0] + " kubectl"
	}
	return fmt.Sprintf(`
Next:
  %[1]s get nodes
  %[1]s apply -f examples/hello-deployment.yaml
  %[1]s get pods -o wide -w
`, kubectl)
}
