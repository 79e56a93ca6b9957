package encryption

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/storage/value"
	aestransformer "k8s.io/apiserver/pkg/storage/value/encrypt/aes"
	"k8s.io/apiserver/pkg/storage/value/encrypt/secretbox"
)

// The beginning of what a provider has written, up to the name of the key.
const (
	prefixAESCBC    = "k8s:enc:aescbc:v1:"
	prefixAESGCM    = "k8s:enc:aesgcm:v1:"
	prefixSecretbox = "k8s:enc:secretbox:v1:"
	prefixKMS       = "k8s:enc:kms:v2:"
)

// rules are a configuration in force. They do not change.
type rules struct {
	chains  map[schema.GroupResource]chain
	plugins []*plugin
	// stop ends what the plugins have running.
	stop context.CancelFunc
}

// all stands for all resources, or all groups.
const all = "*"

// build makes the rules of a configuration. Plugins are opened with connect.
func build(c *apiserver.EncryptionConfiguration, connect func(*apiserver.KMSConfiguration) (*plugin, error)) (*rules, error) {
	r := &rules{chains: map[schema.GroupResource]chain{}}
	for _, rule := range c.Resources {
		var methods chain
		for _, p := range rule.Providers {
			m, err := r.provider(p, connect)
			if err != nil {
				return nil, err
			}
			methods = append(methods, m...)
		}
		for _, name := range rule.Resources {
			gr := schema.ParseGroupResource(name)
			for _, wider := range []schema.GroupResource{{Group: gr.Group, Resource: all}, {Group: all, Resource: all}} {
				if _, masked := r.chains[wider]; masked {
					return nil, fmt.Errorf("resource %q is masked by earlier rule %q", written(gr), written(wider))
				}
			}
			r.chains[gr] = append(r.chains[gr][:len(r.chains[gr]):len(r.chains[gr])], methods...)
		}
	}
	return r, nil
}

// written is a resource as the configuration names it.
func written(gr schema.GroupResource) string {
	if gr.Group == "" && gr.Resource == all {
		return "*."
	}
	return gr.String()
}

// provider returns the methods of a provider, one for each of its keys.
func (r *rules) provider(p apiserver.ProviderConfiguration, connect func(*apiserver.KMSConfiguration) (*plugin, error)) (chain, error) {
	switch {
	case p.Identity != nil:
		return chain{{}}, nil
	case p.Secretbox != nil:
		return keyed(prefixSecretbox, p.Secretbox.Keys, func(key []byte) (value.Transformer, error) {
			if len(key) != 32 {
				return nil, fmt.Errorf("a key of secretbox has 32 bytes, not %d", len(key))
			}
			return secretbox.NewSecretboxTransformer([32]byte(key)), nil
		})
	case p.AESCBC != nil:
		return keyed(prefixAESCBC, p.AESCBC.Keys, withBlock(func(b cipher.Block) (value.Transformer, error) {
			return aestransformer.NewCBCTransformer(b), nil
		}))
	case p.AESGCM != nil:
		return keyed(prefixAESGCM, p.AESGCM.Keys, withBlock(aestransformer.NewGCMTransformer))
	case p.KMS != nil:
		plugin, err := connect(p.KMS)
		if err != nil {
			return nil, err
		}
		r.plugins = append(r.plugins, plugin)
		return chain{{[]byte(prefixKMS + p.KMS.Name + ":"), plugin.transformer}}, nil
	}
	return nil, fmt.Errorf("a provider is none of aescbc, aesgcm, identity, kms and secretbox")
}

func withBlock(make func(cipher.Block) (value.Transformer, error)) func([]byte) (value.Transformer, error) {
	return func(key []byte) (value.Transformer, error) {
		b, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		return make(b)
	}
}

func keyed(prefix string, keys []apiserver.Key, make func(key []byte) (value.Transformer, error)) (chain, error) {
	var methods chain
	for _, k := range keys {
		secret, err := base64.StdEncoding.DecodeString(k.Secret)
		if err != nil {
			return nil, fmt.Errorf("secret of key %q: it is not base64", k.Name)
		}
		t, err := make(secret)
		if err != nil {
			return nil, fmt.Errorf("secret of key %q: %w", k.Name, err)
		}
		methods = append(methods, method{[]byte(prefix + k.Name + ":"), t})
	}
	return methods, nil
}

// find returns the methods of a resource: those of the rule that names it, else
// of one for its group, else of one for everything. Nil: it is stored in the
// clear.
func (r *rules) find(gr schema.GroupResource) chain {
	if c := r.chains[gr]; c != nil {
		return c
	}
	if c := r.chains[schema.GroupResource{Group: gr.Group, Resource: all}]; c != nil {
		return c
	}
	return r.chains[schema.GroupResource{Group: all, Resource: all}]
}
