package encryption_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	upstream "k8s.io/apiserver/pkg/server/options/encryptionconfig"
	"k8s.io/apiserver/pkg/storage/value"

	"proa/cache"
	"proa/cache/encryption"
	"proa/resource"
)

// Keys of 32, 32 and 16 bytes.
const (
	key1 = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	key2 = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
	key3 = "MDEyMzQ1Njc4OWFiY2RlZg=="
)

// config is a configuration of rules, each "resources: providers".
func config(rules ...string) string {
	var b strings.Builder
	b.WriteString("apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n")
	for _, r := range rules {
		resources, providers, _ := strings.Cut(r, ": ")
		fmt.Fprintf(&b, "- resources: [%s]\n  providers:\n", resources)
		for p := range strings.FieldsSeq(providers) {
			if name, keys, ok := strings.Cut(p, "="); ok {
				fmt.Fprintf(&b, "  - %s:\n      keys:\n", name)
				for k := range strings.SplitSeq(keys, ",") {
					fmt.Fprintf(&b, "      - {name: %s, secret: %s}\n", k, map[string]string{"a": key1, "b": key2, "c": key3}[k])
				}
			} else {
				fmt.Fprintf(&b, "  - %s: {}\n", p)
			}
		}
	}
	return b.String()
}

func write(t *testing.T, path, data string) {
	t.Helper()
	if err := os.WriteFile(path+".new", []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, data string) *encryption.Encryption {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	write(t, path, data)
	e, err := encryption.Open(t.Context(), encryption.Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func of(e *encryption.Encryption, group, plural string) cache.Transformer {
	return e.For(&resource.Definition{Storage: schema.GroupVersion{Group: group, Version: "v1"}, Plural: plural})
}

// other is upstream's reading of the same file.
func other(t *testing.T, data string) func(group, plural string) value.Transformer {
	t.Helper()
	path := filepath.Join(t.TempDir(), "encryption.yaml")
	write(t, path, data)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	c, err := upstream.LoadEncryptionConfig(ctx, path, false, "")
	if err != nil {
		t.Fatal(err)
	}
	all := upstream.StaticTransformers(c.Transformers)
	return func(group, plural string) value.Transformer {
		return all.TransformerForResource(schema.GroupResource{Group: group, Resource: plural})
	}
}

const objectKey = "/registry/x/ns/name"

// Whatever upstream writes Proa reads, and says of it that it is stale exactly
// where upstream does, and the reverse: for each configuration as written and as
// read, and for resources that are named, covered by a wildcard or by nothing.
func TestSameAsUpstream(t *testing.T) {
	t.Parallel()
	configs := []string{
		config("secrets: secretbox=a identity"),
		config("secrets: identity secretbox=a"),
		config("secrets: secretbox=b,a identity"),
		config("secrets: aescbc=a secretbox=a,b identity"),
		config("secrets: aesgcm=c,a aescbc=b"),
		config("secrets: aescbc=b aescbc=a", "'*.': identity aescbc=a"),
		config("events: identity", "secrets: secretbox=b", "'*.apps': aesgcm=a identity", "'*.*': secretbox=a identity"),
		config("secrets: secretbox=b", "secrets: identity"),
	}
	resources := []schema.GroupResource{{Resource: "secrets"}, {Resource: "events"}, {Group: "apps", Resource: "deployments"}, {Group: "example.com", Resource: "widgets"}}
	plain := []byte("k8s\x00 a secret")
	ctx := value.DefaultContext(objectKey)
	for i, writer := range configs {
		for j, reader := range configs {
			ours, theirs := open(t, writer), other(t, writer)
			oursR, theirsR := open(t, reader), other(t, reader)
			for _, gr := range resources {
				byUs, err := of(ours, gr.Group, gr.Resource).ToStore(t.Context(), objectKey, plain)
				if err != nil {
					t.Fatal(err)
				}
				byThem, err := theirs(gr.Group, gr.Resource).TransformToStorage(t.Context(), plain, ctx)
				if err != nil {
					t.Fatal(err)
				}
				if a, b := bytes.SplitAfterN(byUs, []byte(":"), 6), bytes.SplitAfterN(byThem, []byte(":"), 6); len(a) > 4 && !bytes.Equal(bytes.Join(a[:5], nil), bytes.Join(b[:5], nil)) {
					t.Errorf("%d: %s is written as %.40q, and by upstream as %.40q", i, gr, byUs, byThem)
				}
				for name, stored := range map[string][]byte{"ours": byUs, "theirs": byThem} {
					got, stale, err := of(oursR, gr.Group, gr.Resource).FromStore(t.Context(), objectKey, stored)
					want, wantStale, wantErr := theirsR(gr.Group, gr.Resource).TransformFromStorage(t.Context(), stored, ctx)
					if (err == nil) != (wantErr == nil) || stale != wantStale || err == nil && (!bytes.Equal(got, want) || !bytes.Equal(got, plain)) {
						t.Errorf("%s written with %d read with %d, %s: %q stale %t, %v; upstream: %q stale %t, %v", gr, i, j, name, got, stale, err, want, wantStale, wantErr)
					}
				}
			}
		}
	}
}

// A value moved below another key is not read, where the provider can tell.
func TestKeyIsAuthenticated(t *testing.T) {
	t.Parallel()
	tr := of(open(t, config("secrets: aesgcm=a")), "", "secrets")
	stored, err := tr.ToStore(t.Context(), objectKey, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := tr.FromStore(t.Context(), "/registry/x/ns/other", stored); err == nil {
		t.Error("it was read under the key of another")
	}
	stored[len(stored)-1]++
	if _, _, err := tr.FromStore(t.Context(), objectKey, stored); err == nil {
		t.Error("it was read although it had been changed")
	}
}

// Errors say what to do, and no secrets.
func TestErrors(t *testing.T) {
	t.Parallel()
	sealed, err := of(open(t, config("secrets: secretbox=a")), "", "secrets").ToStore(t.Context(), objectKey, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	wrongKey := strings.ReplaceAll(config("secrets: secretbox=a identity"), key1, key2)
	for _, c := range []struct {
		name, config string
		stored       []byte
		want         string
	}{
		{"without the key", config("secrets: secretbox=b identity"), sealed, `encrypted with secretbox "a", which the EncryptionConfiguration does not have`},
		{"with another key of that name", wrongKey, sealed, "bring back the key"},
		{"in the clear", config("secrets: secretbox=a"), []byte("k8s\x00"), "add the identity provider"},
		{"of another resource", config("configmaps: secretbox=a"), sealed, "add that provider"},
		{"what nobody writes", config("secrets: secretbox=a"), []byte("k8s:enc:"), "an unknown provider"},
	} {
		_, _, err := of(open(t, c.config), "", "secrets").FromStore(t.Context(), objectKey, c.stored)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), key1) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, _, err := of(encryption.None(), "", "secrets").FromStore(t.Context(), objectKey, sealed); err == nil {
		t.Error("without a configuration an encrypted value was taken for what it is not")
	}
}

// What upstream refuses to start with is refused, and the error names the file and
// the field, and no secret.
func TestBadConfiguration(t *testing.T) {
	t.Parallel()
	good := config("secrets: secretbox=a")
	for name, c := range map[string]struct{ data, want string }{
		"empty":         {"", "file.yaml"},
		"another kind":  {"apiVersion: apiserver.config.k8s.io/v1\nkind: AuthorizationConfiguration\n", "AuthorizationConfiguration"},
		"unknown field": {good + "extra: 1\n", "extra"},
		"short key":     {strings.ReplaceAll(good, key1, key3), "resources[0].providers[0].secretbox.keys[0]"},
		"not base64":    {strings.ReplaceAll(good, key1, "abc!"), "keys[0].secret"},
		"masked":        {config("'*.*': identity", "secrets: secretbox=a"), `resource "secrets" is masked by earlier rule "*.*"`},
		"masked group":  {config("'*.': identity", "secrets: secretbox=a"), `masked by earlier rule "*."`},
		"overlap":       {config("secrets, '*.*': identity"), "overlapping"},
		"KMS v1":        {config("secrets: identity") + "  - kms: {name: k, endpoint: 'unix:///k.sock'}\n", "KMSv1"},
		"KMS by TCP":    {config("secrets: identity") + "  - kms: {apiVersion: v2, name: k, endpoint: 'tcp://k'}\n", "only unix is supported"},
	} {
		path := filepath.Join(t.TempDir(), "file.yaml")
		write(t, path, c.data)
		_, err := encryption.Open(t.Context(), encryption.Options{Path: path})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), key1) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A new cluster's file encrypts Secrets and nothing else, is for the owner only,
// stays as it is, and upstream takes it.
func TestEnsure(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "below", "encryption.yaml")
	for range 2 {
		if err := encryption.Ensure(path, fixed); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	e, theirs := open(t, string(data)), other(t, string(data))
	stored, err := of(e, "", "secrets").ToStore(t.Context(), objectKey, []byte("secret"))
	if err != nil || !strings.HasPrefix(string(stored), "k8s:enc:secretbox:v1:key-20260304:") {
		t.Fatalf("%.50q, %v", stored, err)
	}
	if got, stale, err := theirs("", "secrets").TransformFromStorage(t.Context(), stored, value.DefaultContext(objectKey)); err != nil || stale || string(got) != "secret" {
		t.Errorf("%q, %t, %v", got, stale, err)
	}
	if got, stale, err := of(e, "", "secrets").FromStore(t.Context(), objectKey, []byte("old")); err != nil || !stale || string(got) != "old" {
		t.Errorf("from before encryption: %q, %t, %v", got, stale, err)
	}
	if tr := of(e, "", "configmaps"); tr.Active() {
		t.Error("config maps are encrypted")
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
