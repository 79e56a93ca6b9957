package cli

import (
	"context"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"proa/cluster"
)

func newNode() *cobra.Command {
	cmd := &cobra.Command{
		Use: "node", GroupID: "local", Short: "Add, remove, stop and cut off nodes of a cluster on this machine",
		Long: "Rehearse what happens to machines, on the nodes of a cluster that was started with\n\"proa up --nodes\". Each of them has a network namespace, an address, a container\nruntime and an agent of its own.",
	}
	cmd.AddCommand(
		nodeList(),
		nodeCommand("add", "Add a node and wait until it is ready", "is ready", func(ctx context.Context, cmd *cobra.Command, c *cluster.Config, name string) error {
			return cluster.AddNode(ctx, c, name)
		}),
		nodeCommand("remove", "End a node for good, with its data and its Node object", "is gone", func(ctx context.Context, cmd *cobra.Command, c *cluster.Config, name string) error {
			return cluster.RemoveNode(ctx, c, name)
		}),
		nodeCommand("stop", "Kill a node and all that it runs, as a power cut would", "is down", func(ctx context.Context, cmd *cobra.Command, c *cluster.Config, name string) error {
			return cluster.StopNode(ctx, c, name)
		}),
		nodeCommand("start", "Boot a node that is down and wait until it is ready", "is ready", func(ctx context.Context, cmd *cobra.Command, c *cluster.Config, name string) error {
			return cluster.StartNode(ctx, c, name, printProgress(cmd.OutOrStdout()))
		}),
		nodeCommand("partition", "Cut a node off the others, as a broken cable would", "is cut off", func(ctx context.Context, cmd *cobra.Command, c *cluster.Config, name string) error {
			return cluster.PartitionNode(ctx, c, name)
		}),
		nodeCommand("heal", "Connect a node again that was cut off", "is connected", func(ctx context.Context, cmd *cobra.Command, c *cluster.Config, name string) error {
			return cluster.HealNode(ctx, c, name)
		}),
	)
	return cmd
}

// nodeCommand is a command that does one thing to one node.
func nodeCommand(use, short, done string, do func(context.Context, *cobra.Command, *cluster.Config, string) error) *cobra.Command {
	var f clusterFlags
	var wait time.Duration
	cmd := &cobra.Command{
		Use: use + " NAME", Args: cobra.ExactArgs(1), Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := f.load(cmd)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), wait)
			defer cancel()
			if err := do(ctx, cmd, c, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s %s.\n", args[0], done)
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().DurationVar(&wait, "wait", 2*time.Minute, "how long to wait")
	return cmd
}

func nodeList() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use: "list", Args: cobra.NoArgs, Short: "List the nodes that this machine is divided into",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.load(cmd)
			if err != nil {
				return err
			}
			nodes, err := cluster.Nodes(cmd.Context(), c)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "NAME\tSTATE\tADDRESS\tPROCESS\tNETWORK NAMESPACE")
			for _, n := range nodes {
				state, process := "running", fmt.Sprint(n.PID)
				switch {
				case n.PID == 0:
					state, process = "stopped", "-"
				case n.Partitioned:
					state = "partitioned"
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", n.Name, state, n.Address, process, n.Namespace)
			}
			return w.Flush()
		},
	}
	f.add(cmd)
	return cmd
}
