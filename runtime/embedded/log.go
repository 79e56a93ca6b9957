package embedded

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// newLogger returns a logrus entry, which is what containerd logs through, that
// hands its records to h. Levels that h does not want are dropped by logrus
// before a record is made. containerd's Info is chatty (several lines per pod)
// and of interest to somebody debugging it, so it arrives as Debug. A Fatal,
// which in the daemon ends the process, calls fatal instead. Once muted, nothing is
// said any more: containerd does not stop all that it started, and what it then
// says about its closed databases is of no use.
func newLogger(h slog.Handler, muted *atomic.Bool, fatal func(msg string)) *logrus.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	l.SetFormatter(discardFormatter{})
	l.SetReportCaller(false)
	l.SetLevel(logrus.WarnLevel)
	if h.Enabled(context.Background(), slog.LevelDebug) {
		l.SetLevel(logrus.InfoLevel)
	}
	l.ExitFunc = func(int) {}
	l.AddHook(slogHook{h: h, muted: muted, fatal: fatal})
	return logrus.NewEntry(l)
}

// everywhere is containerd's own logger, for what it logs without a context. It
// is set once, because goroutines of a runtime read it for ever; what comes in is
// handed to the runtime started last.
var everywhere struct {
	once sync.Once
	last atomic.Pointer[logrus.Entry]
}

// logEverywhere makes entry the one that gets what has no context.
func logEverywhere(entry *logrus.Entry) {
	everywhere.last.Store(entry)
	everywhere.once.Do(func() {
		l := logrus.New()
		l.SetOutput(io.Discard)
		l.SetFormatter(discardFormatter{})
		l.SetLevel(entry.Logger.GetLevel())
		l.ExitFunc = func(int) {}
		l.AddHook(forwardHook{})
		log.L = logrus.NewEntry(l)
	})
}

// forwardHook hands a record to the hooks of the runtime started last.
type forwardHook struct{}

func (forwardHook) Levels() []logrus.Level { return logrus.AllLevels }

func (forwardHook) Fire(e *logrus.Entry) error {
	return everywhere.last.Load().Logger.Hooks.Fire(e.Level, e)
}

// discardFormatter spares formatting a line that nobody writes.
type discardFormatter struct{}

func (discardFormatter) Format(*logrus.Entry) ([]byte, error) { return nil, nil }

type slogHook struct {
	h     slog.Handler
	muted *atomic.Bool
	fatal func(string)
}

func (slogHook) Levels() []logrus.Level { return logrus.AllLevels }

func (s slogHook) Fire(e *logrus.Entry) error {
	if s.muted.Load() {
		return nil
	}
	level := slogLevel(e.Level)
	if slices.ContainsFunc(expected, func(p string) bool { return strings.HasPrefix(e.Message, p) }) {
		level = slog.LevelDebug
	}
	if s.h.Enabled(context.Background(), level) {
		r := slog.NewRecord(e.Time, level, e.Message, 0)
		for k, v := range e.Data {
			r.AddAttrs(slog.Any(k, v))
		}
		if err := s.h.Handle(context.Background(), r); err != nil {
			return err
		}
	}
	if e.Level == logrus.FatalLevel {
		msg := e.Message
		if err, ok := e.Data[logrus.ErrorKey].(error); ok {
			msg += ": " + err.Error()
		}
		s.fatal(msg)
	}
	return nil
}

// expected are the beginnings of warnings about what is as it should be here.
var expected = []string{
	// Most file systems have no fs-verity, which is not asked for.
	"failed check for fsverity support",
	// The pod network's configuration is written once the node has its range.
	"failed to load cni during init, please check CRI plugin status before setting up network for pods",
	// durability.go.
	"using async mode for boltdb",
	// The links of light sandboxes, sandboxfiles.go.
	"Invalid file ",
}

func slogLevel(l logrus.Level) slog.Level {
	switch l {
	case logrus.PanicLevel, logrus.FatalLevel, logrus.ErrorLevel:
		return slog.LevelError
	case logrus.WarnLevel:
		return slog.LevelWarn
	default:
		return slog.LevelDebug
	}
}
