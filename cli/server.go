package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"proa/cluster"
)

func newServer() *cobra.Command {
	var f clusterFlags
	var notify notifyFlag
	var port int
	cmd := &cobra.Command{
		Use: "server", GroupID: "parts", Args: cobra.NoArgs,
		Short: "Run the control plane, and a node unless --disable-agent is given",
		RunE: func(cmd *cobra.Command, _ []string) error {
			n := notify.open()
			defer n.close()
			c, err := f.load(cmd)
			if err == nil {
				err = runServer(cmd.Context(), c, port, n.Notifier)
			}
			return n.failed(err)
		},
	}
	f.addServer(cmd)
	notify.add(cmd)
	cmd.Flags().IntVar(&port, "listen-fd", 0, "file `descriptor` of the API server's port on a machine that is divided into nodes")
	hide(cmd, "listen-fd")
	return cmd
}

func runServer(ctx context.Context, c *cluster.Config, port int, n *cluster.Notifier) error {
	var outer net.Listener
	if port > 0 {
		file := inherited(port, "API server")
		defer file.Close() // the listener has a descriptor of its own
		var err error
		if outer, err = net.FileListener(file); err != nil {
			return fmt.Errorf("take over the API server's port: %w", err)
		}
	}
	return cluster.RunServer(ctx, c, outer, n, newLogger(c.LogLevel))
}

// inherited is a file that was open when this process began. Its own children do
// not inherit it: they may outlive it.
func inherited(fd int, name string) *os.File {
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), name)
}

// notifyFlag is how a process in the background is told where its progress is
// read.
type notifyFlag int

func (f *notifyFlag) add(cmd *cobra.Command) {
	cmd.Flags().IntVar((*int)(f), "notify-fd", 0, "file `descriptor` to report progress to")
	hide(cmd, "notify-fd")
}

func hide(cmd *cobra.Command, flag string) {
	if err := cmd.Flags().MarkHidden(flag); err != nil {
		panic(err) // the flag was defined before
	}
}

// notifying is an open pipe to who reads the progress, or nothing.
type notifying struct {
	*cluster.Notifier
	pipe *os.File
}

func (f notifyFlag) open() notifying {
	if f <= 0 {
		return notifying{}
	}
	pipe := inherited(int(f), "notify")
	return notifying{cluster.NewNotifier(pipe, time.Now()), pipe}
}

func (n notifying) close() {
	if n.pipe != nil {
		n.pipe.Close()
	}
}

// failed reports an error that ends the process, if there is one.
func (n notifying) failed(err error) error {
	if err != nil {
		n.Reached(cluster.StepFailed, err.Error())
	}
	return err
}
