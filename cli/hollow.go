package cli

import (
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/api/resource"

	"proa/cluster"
	"proa/node/hollow"
)

func newHollow() *cobra.Command {
	var kubeconfig, level, memory string
	h := cluster.Hollow{Machine: hollow.DefaultMachine(), Timing: hollow.DefaultTiming()}
	cmd := &cobra.Command{
		Use: "hollow", GroupID: "parts", Args: cobra.NoArgs,
		Short: "Run many nodes that keep the node's side of the API but run no containers",
		Long: "Run many nodes that keep the node's side of the API but run no containers.\n" +
			"The user of the kubeconfig needs to read nodes and pods, and to impersonate nodes.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := resource.ParseQuantity(memory)
			if err != nil {
				return fmt.Errorf("--memory %q: give an amount such as 32Gi: %w", memory, err)
			}
			h.Machine.Memory = q.Value()
			return cluster.RunHollow(cmd.Context(), kubeconfig, h, newLogger(level))
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&kubeconfig, "kubeconfig", "", "`file` that says how to reach the API server")
	fl.StringVar(&level, "log-level", "info", "debug, info, warn or error")
	if err := cmd.MarkFlagRequired("kubeconfig"); err != nil {
		panic(err) // the flag was defined above
	}
	fl.IntVar(&h.Nodes, "nodes", 1, "`number` of nodes")
	fl.IntVar(&h.Machine.CPUs, "cpus", h.Machine.CPUs, "`number` of CPUs of each")
	fl.StringVar(&memory, "memory", "32Gi", "`amount` of memory of each")
	fl.IntVar(&h.Machine.MaxPods, "max-pods", h.Machine.MaxPods, "`number` of pods that each takes")
	fl.DurationVar(&h.Timing.Start, "start", h.Timing.Start, "`time` until a pod runs")
	fl.DurationVar(&h.Timing.Ready, "ready", h.Timing.Ready, "`time` from then until it is ready")
	fl.DurationVar(&h.Timing.Run, "run", h.Timing.Run, "`time` from its start until a pod that does not restart has succeeded")
	fl.DurationVar(&h.Timing.Stop, "stop", h.Timing.Stop, "`time` until a deleted pod has ended, within its grace period")
	return cmd
}
