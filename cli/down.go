package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"proa/cluster"
)

func newDown() *cobra.Command {
	var f clusterFlags
	var purge bool
	cmd := &cobra.Command{
		Use: "down", GroupID: "local", Args: cobra.NoArgs,
		Short: "Stop the cluster and everything that it runs",
		Long:  "Stop the cluster and everything that it runs on this machine. Its data stays,\nand the next \"proa up\" continues with it, unless --purge is given.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.load(cmd)
			if err != nil {
				return err
			}
			was, err := cluster.Down(cmd.Context(), c, purge)
			if err != nil {
				return err
			}
			if was {
				fmt.Fprintln(cmd.OutOrStdout(), "The cluster has stopped.")
			} else {
				fmt.Fprintln(cmd.OutOrStdout(), "No cluster was running; what one may have left has been removed.")
			}
			return nil
		},
	}
	f.addServer(cmd)
	cmd.Flags().BoolVar(&purge, "purge", false, "delete the data directory too, and the context from your kubeconfig")
	return cmd
}
