package etcd

import (
	"context"
	"log/slog"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// quiet are warnings of etcd that say nothing to the operator of an embedded
// one.
var quiet = []string{
	"Running http and grpc server on single port",
	"simple token is not cryptographically signed",
	"failed to detect storage schema version",
	"Failed to detect storage schema version",
	"Failed to detect schema version", // of a new database, until it is first written
	"failed to update storage version",
	"failed to register grpc server",
	"waiting for ReadIndex response took too long",
	"rejected stream",
	"cannot campaign since there are pending configuration changes",
	"failed to publish local member to cluster through raft",
}

// core passes the warnings and errors of etcd on to slog.
type core struct {
	log    *slog.Logger
	fields []zapcore.Field
}

// zapLogger returns a logger for etcd. At a fatal error, after which etcd
// would end the process, fatal is called and only the goroutine ends.
func zapLogger(log *slog.Logger, fatal func(message string)) *zap.Logger {
	return zap.New(&core{log: log.With("part", "etcd")}, zap.WithFatalHook(fatalHook(fatal)))
}

type fatalHook func(string)

// OnWrite implements zapcore.CheckWriteHook.
func (h fatalHook) OnWrite(e *zapcore.CheckedEntry, fields []zapcore.Field) {
	text := e.Message
	for _, f := range fields {
		if f.Type == zapcore.ErrorType {
			if err, ok := f.Interface.(error); ok {
				text += ": " + err.Error()
			}
		}
	}
	h(text)
	zapcore.WriteThenGoexit.OnWrite(e, fields)
}

// Enabled implements zapcore.Core.
func (c *core) Enabled(l zapcore.Level) bool { return l >= zapcore.WarnLevel }

// With implements zapcore.Core.
func (c *core) With(fields []zapcore.Field) zapcore.Core {
	return &core{log: c.log, fields: append(c.fields[:len(c.fields):len(c.fields)], fields...)}
}

// Check implements zapcore.Core.
func (c *core) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if !c.Enabled(e.Level) {
		return ce
	}
	return ce.AddCore(e, c)
}

// Write implements zapcore.Core.
func (c *core) Write(e zapcore.Entry, fields []zapcore.Field) error {
	level := slog.LevelWarn
	if e.Level >= zapcore.ErrorLevel {
		level = slog.LevelError
	}
	for _, q := range quiet {
		if strings.Contains(e.Message, q) {
			level = slog.LevelDebug
		}
	}
	ctx := context.Background()
	if !c.log.Enabled(ctx, level) {
		return nil
	}
	enc := zapcore.NewMapObjectEncoder()
	for _, f := range c.fields {
		f.AddTo(enc)
	}
	for _, f := range fields {
		f.AddTo(enc)
	}
	attrs := make([]slog.Attr, 0, len(enc.Fields))
	for k, v := range enc.Fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	c.log.LogAttrs(ctx, level, e.Message, attrs...)
	return nil
}

// Sync implements zapcore.Core.
func (c *core) Sync() error { return nil }
