package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// write puts the page of a run into the folder, in place of another of its name, and makes the folder's index anew.
func write(dir, name, page string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the folder of the results: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".md"), []byte(page), 0o644); err != nil {
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
		page, found := strings.CutSuffix(n, ".md")
		if _, err := time.Parse(time.DateOnly, strings.TrimSuffix(page, comparisonSuffix)); found && err == nil {
			days = append(days, page)
		}
	}
	slices.Sort(days)
	slices.Reverse(days)
	var b strings.Builder
	b.WriteString("# Benchmarks\n\nWhat `make bench` measured, and `make bench-upstream` beside upstream, newest first.\nThey write these pages; what they measure and how is in [bench/doc.go](../../bench/doc.go).\n\n")
	for _, d := range days {
		fmt.Fprintf(&b, "- [%s](%s.md)\n", d, d)
	}
	return b.String()
}
