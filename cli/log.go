package cli

import (
	"flag"
	"io"
	"log/slog"
	"os"

	"k8s.io/klog/v2"
)

// verboseKlog is how much the libraries say at the level debug: what upstream's
// documents call "debug level verbosity".
const verboseKlog = "4"

// newLogger makes the log of the process, to standard error, which the
// libraries write to as well.
func newLogger(level string) *slog.Logger {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		l = slog.LevelInfo
	}
	return logTo(os.Stderr, l)
}

// logTo makes a log and routes those of the libraries into it: klog's, and that
// of the standard library, which slog takes over with its default. What lies
// between klog and slog knows no warnings: klog's come as information.
func logTo(w io.Writer, level slog.Level) *slog.Logger {
	log := slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	slog.SetDefault(log)
	var flags flag.FlagSet
	klog.InitFlags(&flags)
	verbosity := "0"
	if level <= slog.LevelDebug {
		verbosity = verboseKlog
	}
	// The flag exists, and takes numbers.
	_ = flags.Set("v", verbosity)
	klog.SetSlogLogger(log)
	return log
}
