// Package lint holds the conventions of this repository that a test can check:
// what may be imported and why, that every package says what it is for, and
// that no file outgrows its reader. It has no code of its own, only tests,
// which parse and build nothing.
package lint
