package image

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
)

func named(s *corev1.Secret, name string) *corev1.Secret {
	s.Namespace, s.Name, s.UID = "ns", name, types.UID("uid-"+name)
	return s
}

const private = "reg.test/a/web:1"

// ensure asks for the private image with some secrets and says how many pulls
// that took and with what reason it failed.
func ensure(t *testing.T, m *Manager, f *fakeService, p corev1.PullPolicy, secrets ...*corev1.Secret) (pulls int, reason string) {
	t.Helper()
	before := f.pulls
	r := request(private, p)
	r.Pod.UID = types.UID(t.Name() + strings.Repeat("x", before)) // no back-off between
	r.PullSecrets = secrets
	_, err := m.Ensure(context.Background(), r)
	if err != nil {
		reason = err.(*Error).Reason
	}
	return f.pulls - before, reason
}

func TestAPrivateImageIsNotForEverybodyOnTheNode(t *testing.T) {
	t.Parallel()
	f, dir := newFake(), t.TempDir()
	f.password = "right"
	m := New(Config{Service: f, Records: dir})
	owner := named(secretFor("reg.test", "u", "right"), "owner")
	check := func(m *Manager, what string, p corev1.PullPolicy, pulls int, reason string, secrets ...*corev1.Secret) {
		t.Helper()
		if n, why := ensure(t, m, f, p, secrets...); n != pulls || why != reason {
			t.Errorf("%s: %d pulls, %q", what, n, why)
		}
	}
	check(m, "the owner", "", 1, "", owner)
	check(m, "the owner again", "", 0, "", owner)
	check(m, "the owner, never", corev1.PullNever, 0, "", owner)
	check(m, "nobody", "", 1, "ErrImagePull")
	check(m, "nobody, never", corev1.PullNever, 0, "ErrImageNeverPull")
	check(m, "the wrong secret", "", 1, "ErrImagePull", named(secretFor("reg.test", "u", "wrong"), "other"))
	check(m, "the same credentials elsewhere", "", 0, "", named(secretFor("reg.test", "u", "right"), "copy"))
	check(m, "another user that the registry knows", "", 1, "", named(secretFor("reg.test", "v", "right"), "friend"))
	check(m, "and again", "", 0, "", named(secretFor("reg.test", "v", "right"), "friend"))

	// After a restart it is still known, and no secret is in the records.
	m = New(Config{Service: f, Records: dir})
	check(m, "the owner after a restart", "", 0, "", owner)
	check(m, "nobody after a restart", "", 1, "ErrImagePull")
	filepath.WalkDir(dir, func(p string, d os.DirEntry, _ error) error {
		if !d.IsDir() {
			if b, _ := os.ReadFile(p); strings.Contains(string(b), "right") || strings.Contains(p, "pulling") {
				t.Errorf("%s: %s", p, b)
			}
		}
		return nil
	})
	// What was pulled without credentials is for everybody.
	f.password = ""
	check(m, "anonymous", corev1.PullAlways, 1, "")
	check(m, "nobody, of a public image", "", 0, "")
	m.Retain(map[string]bool{})
	if e, _ := os.ReadDir(filepath.Join(dir, "pulled")); len(e) != 0 {
		t.Errorf("%d records of images that are gone", len(e))
	}
}

func TestPreloadedImagesByPolicy(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		policy kubeletconfig.ImagePullCredentialsVerificationPolicy
		listed []string
		pulls  int
	}{
		"default":        {"", nil, 0},
		"never":          {kubeletconfig.NeverVerify, nil, 0},
		"always":         {kubeletconfig.AlwaysVerify, nil, 1},
		"listed":         {kubeletconfig.NeverVerifyAllowlistedImages, []string{"reg.test/a/web"}, 0},
		"listed below":   {kubeletconfig.NeverVerifyAllowlistedImages, []string{"reg.test/a/*"}, 0},
		"another listed": {kubeletconfig.NeverVerifyAllowlistedImages, []string{"reg.test/b/*", "reg.test/a/we"}, 1},
	} {
		f := newFake()
		f.images[private] = f.remote[private]
		m := New(Config{Service: f, Records: t.TempDir(), Verify: tc.policy, Allowlist: tc.listed})
		if n, why := ensure(t, m, f, corev1.PullIfNotPresent); n != tc.pulls || why != "" {
			t.Errorf("%s: %d pulls, %s", name, n, why)
		}
	}
}

// A pull that was cut off by a kill does not make the image one that was
// always there; and a corrupt record never stops the agent (k/k 84783, 135711).
func TestAKillDuringAPullAndCorruptRecords(t *testing.T) {
	t.Parallel()
	f, dir := newFake(), t.TempDir()
	f.password = "right"
	m := New(Config{Service: f, Records: dir})
	m.access.begin(private)
	f.images[private] = f.remote[private]
	if err := os.MkdirAll(filepath.Join(dir, "pulled"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "pulled", "sha256-x"), []byte("{\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		m = New(Config{Service: f, Records: dir})
		for range 2 {
			if n, why := ensure(t, m, f, ""); n != 1 || why != "ErrImagePull" {
				t.Errorf("%d pulls, %q", n, why)
			}
		}
	}
	if n, why := ensure(t, m, f, "", named(secretFor("reg.test", "u", "right"), "owner")); n != 1 || why != "" {
		t.Errorf("the owner: %d pulls, %q", n, why)
	}
	if e, _ := os.ReadDir(filepath.Join(dir, "pulling")); len(e) != 0 {
		t.Error("an intent is left")
	}
}

// While a preloaded image is pulled anew for one pod, others may still run it.
func TestAPreloadedImageStaysFreeWhileItIsPulled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.images[private] = f.remote[private]
		f.hold = time.Minute
		m := New(Config{Service: f, Records: t.TempDir()})
		go func() { _, _ = m.Ensure(t.Context(), request(private, corev1.PullAlways)) }()
		synctest.Wait()
		if _, err := m.Ensure(t.Context(), request(private, corev1.PullNever)); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * time.Minute)
	})
}
