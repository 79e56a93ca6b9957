package serviceaccount

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"

	"proa/auth"
)

// legacyClaims is the content of a token that is kept in a secret. It has no
// end; it is good while the secret holds it.
type legacyClaims struct {
	jwt.Claims
	Namespace  string `json:"kubernetes.io/serviceaccount/namespace"`
	Secret     string `json:"kubernetes.io/serviceaccount/secret.name"`
	Account    string `json:"kubernetes.io/serviceaccount/service-account.name"`
	AccountUID string `json:"kubernetes.io/serviceaccount/service-account.uid"`
}

func (c *legacyClaims) wellFormed() error {
	switch {
	case c.Subject == "":
		return errors.New("sub claim is missing")
	case c.Namespace == "":
		return errors.New("namespace claim is missing")
	case c.Secret == "":
		return errors.New("secretName claim is missing")
	case c.Account == "":
		return errors.New("serviceAccountName claim is missing")
	case c.AccountUID == "":
		return errors.New("serviceAccountUID claim is missing")
	case c.Subject != Username(c.Namespace, c.Account):
		return errors.New("sub claim is invalid")
	}
	return nil
}

func (c *legacyClaims) user() *auth.User { return User(c.Namespace, c.Account, c.AccountUID) }

func (v *Verifier) checkLegacy(ctx context.Context, data string, c *legacyClaims) error {
	s, err := v.objects.Secret(ctx, c.Namespace, c.Secret)
	if err != nil {
		return errors.New("token has been invalidated")
	}
	if s.DeletionTimestamp != nil || subtle.ConstantTimeCompare(s.Data[corev1.ServiceAccountTokenKey], []byte(data)) != 1 {
		return errors.New("token has been invalidated")
	}
	sa, err := v.objects.ServiceAccount(ctx, c.Namespace, c.Account)
	if err != nil {
		return err
	}
	if sa.DeletionTimestamp != nil {
		return fmt.Errorf("ServiceAccount %s/%s has been deleted", c.Namespace, c.Account)
	}
	if string(sa.UID) != c.AccountUID {
		return fmt.Errorf("ServiceAccount UID (%s) does not match claim (%s)", sa.UID, c.AccountUID)
	}
	return nil
}
