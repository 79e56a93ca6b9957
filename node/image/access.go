package image

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"

	"proa/node/durable"
)

// access remembers with which credentials images were pulled, so that a pod
// without them does not run another's private image merely because it is on
// the node. The records are files in upstream's form: an intent while an image
// is being pulled, and what came of it. Safe for concurrent use.
type access struct {
	dir    string // "" remembers nothing
	policy kubeletconfig.ImagePullCredentialsVerificationPolicy
	listed []string // repositories that need no check when preloaded
	log    *slog.Logger

	mu      sync.Mutex
	intents map[string]int  // by image as written: pulls under way
	cut     map[string]bool // pulls that an earlier agent was killed in
	pulled  map[string]kubeletconfig.ImagePulledRecord
}

func newAccess(cfg Config) *access {
	a := &access{
		dir: cfg.Records, policy: cfg.Verify, listed: cfg.Allowlist, log: cfg.Log,
		intents: map[string]int{}, cut: map[string]bool{}, pulled: map[string]kubeletconfig.ImagePulledRecord{},
	}
	if a.policy == "" {
		a.policy = kubeletconfig.NeverVerifyPreloadedImages
	}
	if a.dir == "" {
		a.policy = kubeletconfig.NeverVerify
		return a
	}
	// A file that cannot be read stops nothing: its image is checked anew.
	load(a, "pulling", func(i kubeletconfig.ImagePullIntent) { a.cut[i.Image] = true })
	load(a, "pulled", func(r kubeletconfig.ImagePulledRecord) { a.pulled[r.ImageRef] = r })
	return a
}

func load[T any](a *access, sub string, keep func(T)) {
	entries, err := os.ReadDir(filepath.Join(a.dir, sub))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		a.log.Warn("read the records of image pulls", "err", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".tmp") {
			continue
		}
		var v T
		b, err := os.ReadFile(filepath.Join(a.dir, sub, e.Name()))
		if err == nil {
			err = json.Unmarshal(b, &v)
		}
		if err != nil {
			a.log.Warn("unreadable record of an image pull", "file", e.Name(), "err", err)
			continue
		}
		keep(v)
	}
}

func (a *access) file(sub, key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(a.dir, sub, "sha256-"+hex.EncodeToString(sum[:]))
}

// write replaces a record durably. A failure is logged: the price is a check
// that could have been spared.
func (a *access) write(path string, v any) {
	if err := durable.Write(path, v); err != nil {
		a.log.Warn("record an image pull", "err", err)
	}
}

// begin notes that an absent image is about to be pulled: were the agent killed
// right after, it must not pass for one that was always there.
func (a *access) begin(image string) {
	if a.dir == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.intents[image]++
	a.write(a.file("pulling", image), kubeletconfig.ImagePullIntent{TypeMeta: typeMeta("ImagePullIntent"), Image: image})
}

// end notes what came of a pull, begun or not: ref is "" after a failure.
func (a *access) end(image, repo, ref string, with Credential, begun bool, now time.Time) {
	if a.dir == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if ref != "" {
		a.record(repo, ref, with, now)
		delete(a.cut, image)
	}
	if begun {
		if a.intents[image]--; a.intents[image] <= 0 {
			delete(a.intents, image)
		}
	}
	if a.intents[image] == 0 && !a.cut[image] {
		_ = os.Remove(a.file("pulling", image))
	}
}

// record adds a way to an image. The caller holds mu.
func (a *access) record(repo, ref string, with Credential, now time.Time) {
	r, ok := a.pulled[ref]
	if !ok {
		r = kubeletconfig.ImagePulledRecord{TypeMeta: typeMeta("ImagePulledRecord"), ImageRef: ref}
	}
	m := make(map[string]kubeletconfig.ImagePullCredentials, len(r.CredentialMapping)+1)
	for k, v := range r.CredentialMapping {
		m[k] = v
	}
	c := m[repo]
	switch {
	case c.NodePodsAccessible:
		return // for everybody already
	case with.Secret == nil:
		c = kubeletconfig.ImagePullCredentials{NodePodsAccessible: true}
	default:
		kept := []kubeletconfig.ImagePullSecret{*with.Secret}
		for _, s := range c.KubernetesSecrets {
			if !sameSecret(s, *with.Secret) && len(kept) < maxSecrets {
				kept = append(kept, s)
			}
		}
		c.KubernetesSecrets = kept
	}
	m[repo] = c
	r.CredentialMapping, r.LastUpdatedTime = m, metav1.NewTime(now)
	a.pulled[ref] = r
	a.write(a.file("pulled", ref), r)
}

// maxSecrets bounds the secrets remembered for one image.
const maxSecrets = 100

// mustPull says whether a pod with these credentials has to pull an image that
// is there, to show that it may have it.
func (a *access) mustPull(image, repo, ref string, creds []Credential, now time.Time) bool {
	if a.policy == kubeletconfig.NeverVerify {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ours := a.pulled[ref]
	if !ours {
		if a.cut[image] || a.intents[image] > 0 {
			return true
		}
		switch a.policy {
		case kubeletconfig.NeverVerifyPreloadedImages:
			return false
		case kubeletconfig.NeverVerifyAllowlistedImages:
			return !a.allowlisted(repo)
		}
		return true
	}
	c, ok := r.CredentialMapping[repo]
	if !ok {
		return true
	}
	if c.NodePodsAccessible {
		return false
	}
	for _, have := range creds {
		if have.Secret == nil {
			continue
		}
		for _, known := range c.KubernetesSecrets {
			hash := known.CredentialHash != "" && known.CredentialHash == have.Secret.CredentialHash
			if same := sameSecret(known, *have.Secret); hash || same {
				if !hash || !same {
					a.record(repo, ref, have, now)
				}
				return false
			}
		}
	}
	return true
}

func (a *access) allowlisted(repo string) bool {
	for _, l := range a.listed {
		if prefix, ok := strings.CutSuffix(l, "/*"); ok {
			if strings.HasPrefix(repo, prefix+"/") {
				return true
			}
		} else if l == repo {
			return true
		}
	}
	return false
}

// retain forgets images that are gone.
func (a *access) retain(present map[string]bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for ref := range a.pulled {
		if !present[ref] {
			delete(a.pulled, ref)
			_ = os.Remove(a.file("pulled", ref))
		}
	}
}

func sameSecret(a, b kubeletconfig.ImagePullSecret) bool {
	return a.UID == b.UID && a.Namespace == b.Namespace && a.Name == b.Name
}

func typeMeta(kind string) metav1.TypeMeta {
	return metav1.TypeMeta{Kind: kind, APIVersion: kubeletconfig.SchemeGroupVersion.String()}
}

// credentialHash identifies a credential without revealing it.
func credentialHash(user, password string) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d:%s:%s", len(user), user, password))
	return hex.EncodeToString(sum[:])
}
