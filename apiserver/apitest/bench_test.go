package apitest

import "testing"

// BenchmarkStart: a test should have a server of its own without a second
// thought.
func BenchmarkStart(b *testing.B) {
	for b.Loop() {
		Start(b)
	}
}
