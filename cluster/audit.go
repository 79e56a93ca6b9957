package cluster

import (
	"errors"
	"log/slog"
	"time"

	"proa/apiserver/audit"
)

const day = 24 * time.Hour

// newAudit makes what logs requests, or nothing where there is no policy.
func newAudit(c Audit, now func() time.Time, log *slog.Logger) (*audit.Logger, error) {
	if c.PolicyFile == "" {
		if c.LogPath != "" || c.WebhookConfigFile != "" {
			return nil, errors.New("api.audit: there is a place to log requests to, but no policyFile that says which")
		}
		return nil, nil
	}
	policy, err := audit.LoadPolicy(c.PolicyFile)
	if err != nil {
		return nil, err
	}
	l := &audit.Logger{Policy: policy, Now: now, Log: log}
	if c.LogPath != "" {
		file, err := audit.NewFile(audit.FileOptions{
			Path: c.LogPath, MaxSize: int64(c.LogMaxSize) << 20, MaxBackups: c.LogMaxBackup, MaxAge: time.Duration(c.LogMaxAge) * day,
		}, now, log)
		if err != nil {
			return nil, err
		}
		l.Sinks = append(l.Sinks, file)
	}
	if c.WebhookConfigFile != "" {
		hook, err := audit.NewWebhook(c.WebhookConfigFile, log)
		if err != nil {
			return nil, err
		}
		l.Sinks = append(l.Sinks, hook)
	}
	if len(l.Sinks) == 0 {
		return nil, errors.New("api.audit: there is a policyFile, but neither a logPath nor a webhookConfigFile to log requests to")
	}
	return l, nil
}
