package ingress

import (
	"crypto/tls"
	"errors"
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	corelisters "k8s.io/client-go/listers/core/v1"
)

// certificates reads Secrets, and parses each version of one once.
type certificates struct {
	secrets corelisters.SecretLister
	parsed  map[types.NamespacedName]parsedSecret
}

type parsedSecret struct {
	uid     types.UID
	version string
	cert    *tls.Certificate
	err     error
}

func (c *certificates) get(name types.NamespacedName) (*tls.Certificate, error) {
	s, err := c.secrets.Secrets(name.Namespace).Get(name.Name)
	if err != nil {
		delete(c.parsed, name)
		return nil, errors.New("it is not there")
	}
	p, ok := c.parsed[name]
	if !ok || p.uid != s.UID || p.version != s.ResourceVersion {
		p = parsedSecret{uid: s.UID, version: s.ResourceVersion}
		p.cert, p.err = parse(s)
		c.parsed[name] = p
	}
	return p.cert, p.err
}

// keep forgets all Secrets but these.
func (c *certificates) keep(names map[types.NamespacedName]bool) {
	for name := range c.parsed {
		if !names[name] {
			delete(c.parsed, name)
		}
	}
}

// parse reads a certificate and its key. No error tells anything of the key.
func parse(s *v1.Secret) (*tls.Certificate, error) {
	for _, key := range []string{v1.TLSCertKey, v1.TLSPrivateKeyKey} {
		if len(s.Data[key]) == 0 {
			return nil, fmt.Errorf("it has no %s", key)
		}
	}
	cert, err := tls.X509KeyPair(s.Data[v1.TLSCertKey], s.Data[v1.TLSPrivateKeyKey])
	if err != nil {
		return nil, fmt.Errorf("%s and %s are no certificate and key that belong together", v1.TLSCertKey, v1.TLSPrivateKeyKey)
	}
	return &cert, nil
}
