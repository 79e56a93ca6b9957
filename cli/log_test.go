package cli

import (
	"bytes"
	"errors"
	"log"
	"log/slog"
	"strings"
	"testing"

	"k8s.io/klog/v2"
)

// What libraries log through klog and the standard library arrives in the one
// log, at its level. The logs are the process's, so this runs alone.
func TestLibrariesLogIntoSlog(t *testing.T) {
	was := slog.Default()
	t.Cleanup(func() { slog.SetDefault(was); klog.ClearLogger() })
	say := func(level slog.Level) string {
		var out bytes.Buffer
		logTo(&out, level)
		klog.Info("plain information")
		klog.InfoS("structured", "key", "value")
		klog.Warning("a warning")
		klog.ErrorS(errors.New("broken"), "an error")
		klog.V(4).InfoS("for debugging")
		klog.V(9).InfoS("every byte")
		klog.Background().WithValues("a", "b").Info("contextual")
		log.Print("standard library")
		return out.String()
	}
	for _, c := range []struct {
		level       slog.Level
		want, never []string
	}{
		{slog.LevelInfo,
			[]string{
				`level=INFO msg="plain information"`, `level=INFO msg=structured key=value`, `level=INFO msg="a warning"`,
				`level=ERROR msg="an error" err=broken`, `msg=contextual a=b`, `msg="standard library"`,
			}, []string{"debugging", "every byte"}},
		{slog.LevelDebug, []string{`level=DEBUG msg="for debugging"`}, []string{"every byte"}},
		{slog.LevelError, []string{"an error"}, []string{"a warning", "information"}},
	} {
		got := say(c.level)
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%v: no %q in:\n%s", c.level, w, got)
			}
		}
		for _, n := range c.never {
			if strings.Contains(got, n) {
				t.Errorf("%v: %q in:\n%s", c.level, n, got)
			}
		}
	}
}
