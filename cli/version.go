package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"proa/version"
)

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use: "version", Args: cobra.NoArgs, Short: "Print the version",
		Run: func(cmd *cobra.Command, _ []string) {
			i := version.Info()
			fmt.Fprintf(cmd.OutOrStdout(), "proa %s (Kubernetes %s, %s, %s)\n", version.Proa, version.Kubernetes, i.GoVersion, i.Platform)
		},
	}
}
