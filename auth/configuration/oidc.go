package configuration

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/utils/ptr"

	"proa/reload"
)

// OIDC is one issuer as upstream's classic flags describe it. The zero value is
// none.
type OIDC struct {
	IssuerURL, ClientID string
	// CAFile holds the authorities of the issuer's certificate; empty: the system's.
	CAFile string
	// UsernameClaim ("sub"), and what is put before it: UsernamePrefix, by default
	// the issuer and "#" but for emails; "-" is nothing.
	UsernameClaim, UsernamePrefix string
	GroupsClaim, GroupsPrefix     string
	// SigningAlgs that are accepted (RS256).
	SigningAlgs []string
	// RequiredClaims must be there with these values.
	RequiredClaims map[string]string
}

// given reports whether there is anything but defaults.
func (o OIDC) given() bool {
	return o.IssuerURL != "" || o.ClientID != "" || o.CAFile != "" || o.UsernameClaim != "" || o.UsernamePrefix != "" ||
		o.GroupsClaim != "" || o.GroupsPrefix != "" || len(o.SigningAlgs) > 0 || len(o.RequiredClaims) > 0
}

// authenticator turns the flags into what a configuration says.
func (o OIDC) authenticator() (apiserver.JWTAuthenticator, error) {
	var a apiserver.JWTAuthenticator
	if o.IssuerURL == "" || o.ClientID == "" {
		return a, errors.New("oidc-issuer-url and oidc-client-id must be specified together")
	}
	claim := o.UsernameClaim
	if claim == "" {
		claim = "sub"
	}
	prefix := o.UsernamePrefix
	switch {
	case prefix == "-":
		prefix = ""
	case prefix == "" && claim != "email":
		prefix = o.IssuerURL + "#"
	}
	a.Issuer = apiserver.Issuer{URL: o.IssuerURL, Audiences: []string{o.ClientID}}
	a.ClaimMappings.Username = apiserver.PrefixedClaimOrExpression{Claim: claim, Prefix: ptr.To(prefix)}
	if o.GroupsClaim != "" {
		a.ClaimMappings.Groups = apiserver.PrefixedClaimOrExpression{Claim: o.GroupsClaim, Prefix: ptr.To(o.GroupsPrefix)}
	}
	if o.CAFile != "" {
		ca, err := reload.Read(o.CAFile)
		if err != nil {
			return a, fmt.Errorf("oidc-ca-file: %w", err)
		}
		a.Issuer.CertificateAuthority = string(ca)
	}
	for _, claim := range slices.Sorted(maps.Keys(o.RequiredClaims)) {
		a.ClaimValidationRules = append(a.ClaimValidationRules, apiserver.ClaimValidationRule{Claim: claim, RequiredValue: o.RequiredClaims[claim]})
	}
	return a, nil
}

// algorithms that its tokens may be signed with.
func (o OIDC) algorithms() []string {
	if len(o.SigningAlgs) > 0 {
		return o.SigningAlgs
	}
	return []string{"RS256"}
}
