package cluster

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestNewAudit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	policy := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(policy, []byte("apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Metadata}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		config Audit
		sinks  int
		fails  string
	}{
		"nothing":     {Audit{}, 0, ""},
		"a file":      {Audit{PolicyFile: policy, LogPath: filepath.Join(dir, "logs", "audit.log")}, 1, ""},
		"nowhere":     {Audit{PolicyFile: policy}, 0, "neither a logPath nor a webhookConfigFile"},
		"no policy":   {Audit{LogPath: "-"}, 0, "no policyFile that says which"},
		"no such one": {Audit{PolicyFile: filepath.Join(dir, "other"), LogPath: "-"}, 0, "no such file"},
		"no webhook":  {Audit{PolicyFile: policy, WebhookConfigFile: filepath.Join(dir, "other")}, 0, "audit webhook"},
	} {
		l, err := newAudit(c.config, time.Now, slog.New(slog.DiscardHandler))
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: %v, want %q", name, err, c.fails)
		}
		if l != nil {
			if len(l.Sinks) != c.sinks {
				t.Errorf("%s: %d sinks", name, len(l.Sinks))
			}
			l.Close()
		}
	}
}
