package cli

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"proa/cluster"
)

func newStatus() *cobra.Command {
	var f clusterFlags
	cmd := &cobra.Command{
		Use: "status", GroupID: "local", Args: cobra.NoArgs, Short: "Say whether the cluster runs, and how it is",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.load(cmd)
			if err != nil {
				return err
			}
			pid, err := cluster.Running(c)
			if err != nil {
				return err
			}
			if pid == 0 {
				return fmt.Errorf("no cluster runs in %s: start one with \"proa up\"", c.DataDir)
			}
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			defer w.Flush()
			fmt.Fprintf(w, "process\t%d\n", pid)
			fmt.Fprintf(w, "memory\t%d MiB\n", residentMiB(pid))
			fmt.Fprintf(w, "data\t%s\n", c.DataDir)
			fmt.Fprintf(w, "log\t%s\n", c.LogFile())
			return describe(cmd.Context(), w, c)
		},
	}
	f.add(cmd)
	return cmd
}

// describe asks the API server about itself and the nodes.
func describe(ctx context.Context, w *tabwriter.Writer, c *cluster.Config) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	rc, err := clientcmd.BuildConfigFromFlags("", c.AdminKubeconfig())
	if err != nil {
		return fmt.Errorf("read %s: %w", c.AdminKubeconfig(), err)
	}
	client, err := kubernetes.NewForConfig(rc)
	if err != nil {
		return err
	}
	v, err := client.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("the API server does not answer: %w", err)
	}
	fmt.Fprintf(w, "server\t%s\nversion\t%s\n", rc.Host, v.GitVersion)
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		state := "NotReady"
		for _, cond := range n.Status.Conditions {
			if cond.Type == v1.NodeReady && cond.Status == v1.ConditionTrue {
				state = "Ready"
			}
		}
		fmt.Fprintf(w, "node\t%s (%s)\n", n.Name, state)
	}
	return nil
}

// residentMiB is the resident memory of a process, 0 where it cannot be read.
func residentMiB(pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	var size, resident int
	if _, err := fmt.Sscan(string(b), &size, &resident); err != nil {
		return 0
	}
	return resident * os.Getpagesize() >> 20
}
