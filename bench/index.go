package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// write puts the page of a run into the folder, in place of another of the same
// day, and makes the folder's index anew.
func write(dir string, date time.Time, page string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the results: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, date.Format(time.DateOnly)+".md"), []byte(page), 0o644); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("read the folder of the results: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if err := os.WriteFile(filepath.Join(dir, "README.md"), []byte(index(names)), 0o644); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	return nil
}

// index lists the pages among the files of the folder, newest first.
func index(names []string) string {
	var days []string
	for _, n := range names {
		day, found := strings.CutSuffix(n, ".md")
		if _, err := time.Parse(time.DateOnly, day); found && err == nil {
			days = append(days, day)
		}
	}
	slices.Sort(days)
	slices.Reverse(days)
	var b strings.Builder
	b.WriteString("# Benchmarks\n\nWhat `make bench` measured, newest first. It writes these pages; what it\nmeasures and how is in [bench/doc.go](../../bench/doc.go).\n\n")
	for _, d := range days {
		fmt.Fprintf(&b, "- [%s](%s.md)\n", d, d)
	}
	return b.String()
}
