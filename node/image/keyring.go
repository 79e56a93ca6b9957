package image

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
)

// dockerHub is the registry that images without a host come from.
const dockerHub = "index.docker.io"

// Keyring finds the credentials for an image among those of pull secrets and
// of the node. The zero value has none. It is not changed after it is built.
type Keyring struct {
	entries []keyEntry
}

type keyEntry struct {
	key  string // host[:port][/path], the host perhaps with globs
	cred Credential
}

// Credential is one way to authenticate to a registry. The zero value is to go
// without.
type Credential struct {
	Auth *runtimeapi.AuthConfig
	// Secret is where it comes from; nil is the node itself.
	Secret *kubeletconfig.ImagePullSecret
}

// dockerEntry is one registry of a docker configuration file.
type dockerEntry struct {
	Username string `json:"username"`
	Password string `json:"password"`
	Auth     string `json:"auth"`
}

// AddSecret adds a pull secret of either type. Secrets of other types hold
// nothing for it and are skipped.
func (k *Keyring) AddSecret(s *corev1.Secret) error {
	var err error
	from := &kubeletconfig.ImagePullSecret{UID: string(s.UID), Namespace: s.Namespace, Name: s.Name}
	switch {
	case s.Type == corev1.SecretTypeDockerConfigJson:
		err = k.addConfigJSON(s.Data[corev1.DockerConfigJsonKey], from)
	case s.Type == corev1.SecretTypeDockercfg:
		err = k.addEntries(s.Data[corev1.DockerConfigKey], from)
	}
	if err != nil {
		return fmt.Errorf("pull secret %s/%s: %w", s.Namespace, s.Name, err)
	}
	return nil
}

// AddConfigJSON adds the registries of the node's own docker config.json.
func (k *Keyring) AddConfigJSON(data []byte) error { return k.addConfigJSON(data, nil) }

func (k *Keyring) addConfigJSON(data []byte, from *kubeletconfig.ImagePullSecret) error {
	var file struct {
		Auths json.RawMessage `json:"auths"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return errNotDockerConfig
	}
	if len(file.Auths) == 0 {
		return nil
	}
	return k.addEntries(file.Auths, from)
}

// errNotDockerConfig says nothing of the content, which is secret.
var errNotDockerConfig = errors.New("not a docker configuration: make it with kubectl create secret docker-registry")

func (k *Keyring) addEntries(data []byte, from *kubeletconfig.ImagePullSecret) error {
	var entries map[string]dockerEntry
	if err := json.Unmarshal(data, &entries); err != nil {
		return errNotDockerConfig
	}
	for loc, e := range entries {
		if e.Auth != "" {
			raw, err := base64.StdEncoding.DecodeString(e.Auth)
			if err != nil {
				// Without padding too, as some tools write it.
				raw, err = base64.RawStdEncoding.DecodeString(e.Auth)
			}
			user, pass, ok := strings.Cut(string(raw), ":")
			if err != nil || !ok {
				return errNotDockerConfig
			}
			e.Username, e.Password = user, strings.TrimRight(pass, "\x00")
		}
		key, err := registryKey(loc)
		if err != nil {
			continue // what names no host matches no image
		}
		cred := Credential{Auth: &runtimeapi.AuthConfig{Username: e.Username, Password: e.Password}}
		if from != nil {
			s := *from
			s.CredentialHash = credentialHash(e.Username, e.Password)
			cred.Secret = &s
		}
		k.entries = append(k.entries, keyEntry{key, cred})
	}
	// The most specific first: longer paths sort after shorter ones.
	slices.SortStableFunc(k.entries, func(a, b keyEntry) int { return strings.Compare(b.key, a.key) })
	return nil
}

// registryKey takes scheme and API version off a registry's location.
func registryKey(loc string) (string, error) {
	if !strings.HasPrefix(loc, "https://") && !strings.HasPrefix(loc, "http://") {
		loc = "https://" + loc
	}
	u, err := url.Parse(loc)
	if err != nil {
		return "", err
	}
	p := u.Path
	if strings.HasPrefix(p, "/v1/") || strings.HasPrefix(p, "/v2/") {
		p = p[3:]
	}
	if p == "/" {
		p = ""
	}
	return u.Host + p, nil
}

// Lookup returns the credentials to try for a repository, best first. Without
// an entry of its own, an image of the default registry uses that registry's.
func (k *Keyring) Lookup(repository string) []Credential {
	var out []Credential
	for _, e := range k.entries {
		if matches(e.key, repository) {
			out = append(out, e.cred)
		}
	}
	if len(out) == 0 && fromDefaultRegistry(repository) {
		for _, e := range k.entries {
			if e.key == dockerHub {
				out = append(out, e.cred)
			}
		}
	}
	return out
}

// matches compares host by host label, with globs, then port, then the path as
// a prefix.
func matches(key, image string) bool {
	kh, kp := cutHost(key)
	ih, ip := cutHost(image)
	kh, kport, _ := strings.Cut(kh, ":")
	ih, iport, _ := strings.Cut(ih, ":")
	kl, il := strings.Split(kh, "."), strings.Split(ih, ".")
	if kport != iport || len(kl) != len(il) || !strings.HasPrefix(ip, kp) {
		return false
	}
	for i := range kl {
		if ok, err := path.Match(kl[i], il[i]); !ok || err != nil {
			return false
		}
	}
	return true
}

func cutHost(s string) (host, rest string) {
	host, rest, ok := strings.Cut(s, "/")
	if ok {
		rest = "/" + rest
	}
	return host, rest
}

func fromDefaultRegistry(image string) bool {
	host, rest := cutHost(image)
	return rest == "" && host != "" || host == "docker.io" || host == dockerHub ||
		host != "" && !strings.ContainsAny(host, ".:")
}
