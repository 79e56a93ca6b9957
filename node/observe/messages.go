package observe

import (
	"bytes"
	"context"
	"io"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"

	"proa/node/logs"
	"proa/node/pod"
)

// Bounds of a termination message.
const (
	maxMessage  = 4096
	maxLogTail  = 2048
	logTailRows = 80
)

// HostMessages reads termination messages from the host's files.
type HostMessages struct{}

// Read returns what the container left in its termination message file or, if it
// failed and asks for it, the tail of its log.
func (HostMessages) Read(c *pod.Container) string {
	if c.StartedAt.IsZero() {
		return "" // it never executed; the runtime's message says why
	}
	message := ""
	if c.TerminationMessagePath != "" {
		for _, m := range c.Mounts {
			if m.GetContainerPath() == c.TerminationMessagePath {
				message = head(m.GetHostPath())
			}
		}
	}
	if message != "" || c.TerminationMessagePolicy != v1.TerminationMessageFallbackToLogsOnError || c.ExitCode == 0 {
		return message
	}
	return tail(c.LogPath)
}

// head reads the beginning of a file that a container wrote, which may be
// anything but is never followed if it is a link.
func head(path string) string {
	info, err := os.Lstat(path)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxMessage))
	if err != nil {
		return ""
	}
	return string(b)
}

// tail reads the last lines of a CRI log.
func tail(path string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var out bytes.Buffer
	if err := logs.Read(ctx, path, logs.Options{Tail: logTailRows}, &out, &out); err != nil {
		return ""
	}
	b := out.Bytes()
	return string(b[max(len(b)-maxLogTail, 0):])
}
