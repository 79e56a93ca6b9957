package e2e

import (
	"flag"
	"log"
	"os"
	"testing"
)

// TestMain lets more tests run at once than there are cores: they wait for
// containers, probes and back-offs most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "12"); err != nil {
			log.Fatal(err)
		}
	}
	os.Exit(m.Run())
}
