package serviceaccount

import (
	"crypto"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/go-jose/go-jose/v4"
)

// Paths of the documents.
const (
	ConfigurationPath = "/.well-known/openid-configuration"
	JWKSPath          = "/openid/v1/jwks"
)

// Discovery serves the documents by which others verify this cluster's tokens.
type Discovery struct{ configuration, jwks []byte }

// NewDiscovery makes the documents. jwksURI is where others find the keys;
// empty is JWKSPath below the issuer.
func NewDiscovery(issuer, jwksURI string, keys []crypto.PublicKey) (*Discovery, error) {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("service-account issuer %q must be an https URL, or others cannot discover its keys", issuer)
	}
	if jwksURI == "" {
		jwksURI = u.JoinPath(JWKSPath).String()
	}
	var set jose.JSONWebKeySet
	var algs []string
	for _, k := range keys {
		alg, err := algorithm(k)
		if err != nil {
			return nil, err
		}
		id, err := keyID(k)
		if err != nil {
			return nil, err
		}
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k, KeyID: id, Algorithm: string(alg), Use: "sig"})
		if !slices.Contains(algs, string(alg)) {
			algs = append(algs, string(alg))
		}
	}
	d := &Discovery{}
	if d.jwks, err = json.Marshal(set); err != nil {
		return nil, err
	}
	slices.Sort(algs)
	d.configuration, err = json.Marshal(struct {
		Issuer        string   `json:"issuer"`
		JWKSURI       string   `json:"jwks_uri"`
		ResponseTypes []string `json:"response_types_supported"`
		SubjectTypes  []string `json:"subject_types_supported"`
		SigningAlgs   []string `json:"id_token_signing_alg_values_supported"`
	}{issuer, jwksURI, []string{"id_token"}, []string{"public"}, algs})
	return d, err
}

// Configuration serves ConfigurationPath.
func (d *Discovery) Configuration(w http.ResponseWriter, _ *http.Request) {
	serve(w, "application/json", d.configuration)
}

// JWKS serves JWKSPath.
func (d *Discovery) JWKS(w http.ResponseWriter, _ *http.Request) {
	serve(w, "application/jwk-set+json", d.jwks)
}

func serve(w http.ResponseWriter, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=3600")
	_, _ = w.Write(body)
}
