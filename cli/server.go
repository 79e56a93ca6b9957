package cli

import (
	"os"
	"time"

	"github.com/spf13/cobra"

	"proa/cluster"
)

func newServer() *cobra.Command {
	var f clusterFlags
	var fd int
	cmd := &cobra.Command{
		Use: "server", GroupID: "parts", Args: cobra.NoArgs,
		Short: "Run the control plane, and a node unless --disable-agent is given",
		RunE: func(cmd *cobra.Command, _ []string) error {
			start := time.Now()
			var notify *cluster.Notifier
			if fd > 0 {
				pipe := os.NewFile(uintptr(fd), "notify")
				defer pipe.Close()
				notify = cluster.NewNotifier(pipe, start)
			}
			c, err := f.load(cmd)
			if err == nil {
				err = cluster.RunServer(cmd.Context(), c, notify, newLogger(c.LogLevel))
			}
			if err != nil {
				notify.Reached(cluster.StepFailed, err.Error())
			}
			return err
		},
	}
	f.addServer(cmd)
	cmd.Flags().IntVar(&fd, "notify-fd", 0, "file `descriptor` to report progress to")
	if err := cmd.Flags().MarkHidden("notify-fd"); err != nil {
		panic(err) // the flag was defined in the line above
	}
	return cmd
}
