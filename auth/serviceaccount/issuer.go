package serviceaccount

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Issuer makes tokens. Safe for concurrent use.
type Issuer struct {
	name   string
	signer jose.Signer
}

// NewIssuer makes an issuer of the given name (a URL, by which others find the
// keys) that signs with an ECDSA or RSA key.
func NewIssuer(name string, key crypto.Signer) (*Issuer, error) {
	alg, err := algorithm(key.Public())
	if err != nil {
		return nil, err
	}
	id, err := keyID(key.Public())
	if err != nil {
		return nil, err
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		return nil, fmt.Errorf("service-account token key: %w", err)
	}
	return &Issuer{name: name, signer: s}, nil
}

// Name is what tokens say of where they come from.
func (i *Issuer) Name() string { return i.name }

func (i *Issuer) sign(c *claims) (string, error) { return jwt.Signed(i.signer).Claims(c).Serialize() }

// algorithm is the one that goes with a key.
func algorithm(key crypto.PublicKey) (jose.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return jose.RS256, nil
	case *ecdsa.PublicKey:
		switch k.Curve.Params().BitSize {
		case 256:
			return jose.ES256, nil
		case 384:
			return jose.ES384, nil
		case 521:
			return jose.ES512, nil
		}
		return "", fmt.Errorf("service-account token key: curve %s cannot sign tokens; use P-256", k.Curve.Params().Name)
	}
	return "", fmt.Errorf("service-account token key: type %T cannot sign tokens; use ECDSA P-256 or RSA", key)
}

// keyID names a public key by what it is, so that every server names it alike.
func keyID(key crypto.PublicKey) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}
