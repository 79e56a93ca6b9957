package simulate

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"testing"
)

// number reads a setting from the environment.
func number(t *testing.T, name string, otherwise uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s=%q is not a number", name, s)
	}
	return n
}

// shortRuns is how many seeds a plain "go test" runs.
const shortRuns = 3

func TestSimulate(t *testing.T) {
	seed, runs, repeat := number(t, "SEED", 1), number(t, "RUNS", shortRuns), number(t, "REPEAT", 1)
	for s := seed; s < seed+runs; s++ {
		for range repeat {
			ok := t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) { Run(t, s, logger(t)) })
			if !ok {
				t.Logf("replay with: make simulate SEED=%d RUNS=1 (LOG=info for its story, REPEAT=10 where it passes)", s)
			}
		}
	}
}

// logger writes to the test's output at the level of LOG, or nowhere.
func logger(t *testing.T) *slog.Logger {
	t.Helper()
	var level slog.Level
	s := os.Getenv("LOG")
	if s == "" {
		return slog.New(slog.DiscardHandler)
	}
	if err := level.UnmarshalText([]byte(s)); err != nil {
		t.Fatalf("LOG=%q: %v", s, err)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: level}))
}
