package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"proa/cluster"
	"proa/runtime/images"
)

func newImage() *cobra.Command {
	cmd := &cobra.Command{Use: "image", Short: "Images of the node"}
	var f clusterFlags
	var endpoint, name string
	load := &cobra.Command{
		Use: "import FILE...", Args: cobra.MinimumNArgs(1),
		Short: "Import images from archives (docker save, or OCI layout)",
		RunE: func(cmd *cobra.Command, files []string) error {
			c, err := f.load(cmd)
			if err != nil {
				return err
			}
			endpoints := []string{endpoint}
			if endpoint == "" {
				if endpoints, err = runtimes(cmd.Context(), c); err != nil {
					return err
				}
			}
			for _, e := range endpoints {
				if err := importFiles(cmd, e, files, name); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.add(load)
	load.Flags().StringVar(&endpoint, "container-runtime-endpoint", "", "`socket` of the runtime (default: those of all nodes of the cluster on this machine)")
	load.Flags().StringVar(&name, "name", "", "`name` for an image that the archive does not name")
	cmd.AddCommand(load)
	return cmd
}

// runtimes are the container runtimes of a cluster that run on this machine.
func runtimes(ctx context.Context, c *cluster.Config) ([]string, error) {
	nodes, err := cluster.Nodes(ctx, c)
	if errors.Is(err, cluster.ErrNoFleet) {
		return []string{c.RuntimeEndpoint()}, nil
	}
	var out []string
	for _, n := range nodes {
		if n.PID != 0 {
			out = append(out, n.RuntimeEndpoint)
		}
	}
	return out, err
}

func importFiles(cmd *cobra.Command, endpoint string, files []string, name string) error {
	store, err := images.Connect(endpoint)
	if err != nil {
		return err
	}
	defer store.Close()
	for _, file := range files {
		if err := importFile(cmd, store, file, name); err != nil {
			return err
		}
	}
	return nil
}

func importFile(cmd *cobra.Command, store *images.Store, file, name string) error {
	r, err := os.Open(file)
	if err != nil {
		return err
	}
	defer r.Close()
	done, err := store.Import(cmd.Context(), r, name)
	if err != nil {
		return err
	}
	for _, im := range done {
		fmt.Fprintf(cmd.OutOrStdout(), "imported %s (%s)\n", im.Name, im.Digest)
	}
	return nil
}
