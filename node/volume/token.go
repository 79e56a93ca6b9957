package volume

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/clock"
)

const (
	// A token is renewed once a fifth of its life is left, or after a day.
	tokenMaxAge = 24 * time.Hour
	// tokenSpread is taken off at random so that a node's tokens are not all
	// renewed at once.
	tokenSpread = 10 * time.Second
	// tokenRetry is when a failed renewal is tried again while the old token
	// holds.
	tokenRetry = 10 * time.Second
)

// tokens requests service account tokens and keeps them, in memory only, until
// they are due. Safe for concurrent use.
type tokens struct {
	client kubernetes.Interface
	clock  clock.PassiveClock

	mu   sync.Mutex
	byID map[types.UID]map[tokenKey]token
}

type tokenKey struct {
	pod                                   types.UID
	podName, namespace, account, audience string
	seconds                               int64
}

// token is a credential: its value goes into volumes, never into logs.
type token struct {
	value          string
	expires, renew time.Time
}

func newTokens(client kubernetes.Interface, c clock.PassiveClock) *tokens {
	return &tokens{client: client, clock: c, byID: map[types.UID]map[tokenKey]token{}}
}

// get returns a token that is not due yet, or requests one. If that fails, an
// old one that still holds is returned with an early renewal.
func (t *tokens) get(ctx context.Context, k tokenKey) (token, error) {
	now := t.clock.Now()
	t.mu.Lock()
	have, ok := t.byID[k.pod][k]
	t.mu.Unlock()
	if ok && now.Before(have.renew) {
		return have, nil
	}
	fresh, err := t.request(ctx, k)
	if err != nil {
		if ok && now.Before(have.expires) {
			have.renew = now.Add(tokenRetry)
			return have, nil
		}
		return token{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	m := t.byID[k.pod]
	if m == nil {
		m = map[tokenKey]token{}
		t.byID[k.pod] = m
	}
	m[k] = fresh
	return fresh, nil
}

func (t *tokens) request(ctx context.Context, k tokenKey) (token, error) {
	req := &authv1.TokenRequest{Spec: authv1.TokenRequestSpec{
		ExpirationSeconds: &k.seconds,
		BoundObjectRef:    &authv1.BoundObjectReference{APIVersion: "v1", Kind: "Pod", Name: k.podName, UID: k.pod},
	}}
	if k.audience != "" {
		req.Spec.Audiences = []string{k.audience}
	}
	res, err := t.client.CoreV1().ServiceAccounts(k.namespace).CreateToken(ctx, k.account, req, metav1.CreateOptions{})
	if err != nil {
		return token{}, err
	}
	if res.Status.Token == "" {
		return token{}, fmt.Errorf("the API server issued an empty token for service account %s/%s", k.namespace, k.account)
	}
	seconds := k.seconds
	if s := res.Spec.ExpirationSeconds; s != nil {
		seconds = *s
	}
	out := token{value: res.Status.Token, expires: res.Status.ExpirationTimestamp.Time}
	out.renew = renewAt(out.expires, time.Duration(seconds)*time.Second, rand.N(tokenSpread))
	return out, nil
}

// renewAt is when a token that expires then, after a life so long, is to be
// replaced. Pure.
func renewAt(expires time.Time, life, spread time.Duration) time.Time {
	early := expires.Add(-life/5 - spread)
	if old := expires.Add(-life).Add(tokenMaxAge - spread); old.Before(early) {
		return old
	}
	return early
}

// forget drops a pod's tokens.
func (t *tokens) forget(pod types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, pod)
}
