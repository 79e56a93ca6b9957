package interchange

import (
	"os"
	"os/exec"
	"testing"

	"proa/test/parts"
)

// TestScripts runs the scripts of API behaviour, and the table of bad input,
// against upstream's API server: what they hold Proa's to must be what upstream's
// does. Without upstream's programs it is Proa's server, as a process.
func TestScripts(t *testing.T) {
	maker := parts.Proa
	if os.Getenv(upstreamEnv) != "" {
		maker = parts.Upstream
	}
	c := newCluster(t, parts.Makers{parts.APIServer: maker})
	c.startAPI()
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "proa/test/scripts", "-run", scriptsOf(maker))
	cmd.Env = append(os.Environ(), "PROA_TEST_KUBECONFIG="+c.Admin())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("the scripts fail against %s's API server: %v\n%s", maker, err, out)
	}
}

// scriptsOf names the tests. The answers to bad input are upstream's; where
// Proa's are others, its own test knows of it.
func scriptsOf(m parts.Maker) string {
	if m == parts.Upstream {
		return "^(TestScripts|TestBadInput)$"
	}
	return "^TestScripts$"
}
