package cluster

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/oauth2"
	authenticationv1 "k8s.io/api/authentication/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"
	"k8s.io/utils/ptr"
)

const (
	// tokenLifetime is asked for; the server may give another.
	tokenLifetime = time.Hour
	// tokenShare of its life is for how long a token is used.
	tokenShare = 0.8
	// tokenTimeout bounds one request for a token.
	tokenTimeout = 10 * time.Second
)

// asServiceAccount is a configuration that speaks as a service account of
// kube-system to the server of c. client may request its tokens.
func asServiceAccount(c *rest.Config, client kubernetes.Interface, name string) *rest.Config {
	out := rest.AnonymousClientConfig(c)
	out.UserAgent = c.UserAgent + "/" + name
	out.Wrap(transport.ResettableTokenSourceWrapTransport(transport.NewCachedTokenSource(&accountTokens{client, name, time.Now})))
	return out
}

// accountTokens requests tokens of a service account of kube-system, which it
// makes where it is missing. It implements oauth2.TokenSource.
type accountTokens struct {
	client kubernetes.Interface
	name   string
	now    func() time.Time
}

// Token implements oauth2.TokenSource.
func (a *accountTokens) Token() (*oauth2.Token, error) {
	ctx, cancel := context.WithTimeout(context.Background(), tokenTimeout)
	defer cancel()
	accounts := a.client.CoreV1().ServiceAccounts(metav1.NamespaceSystem)
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: ptr.To(int64(tokenLifetime.Seconds()))}}
	asked := a.now()
	got, err := accounts.CreateToken(ctx, a.name, request, metav1.CreateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = accounts.Create(ctx, &v1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: a.name}}, metav1.CreateOptions{})
		if err == nil || apierrors.IsAlreadyExists(err) {
			got, err = accounts.CreateToken(ctx, a.name, request, metav1.CreateOptions{})
		}
	}
	if err != nil {
		return nil, fmt.Errorf("token of the service account %s: %w", a.name, err)
	}
	life := got.Status.ExpirationTimestamp.Sub(asked)
	return &oauth2.Token{AccessToken: got.Status.Token, Expiry: asked.Add(time.Duration(tokenShare * float64(life)))}, nil
}
