package bootstraptoken

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
)

type store struct{ s *corev1.Secret }

func (st store) Secret(_ context.Context, ns, name string) (*corev1.Secret, error) {
	if st.s == nil {
		return nil, errors.New("broken")
	}
	if ns != st.s.Namespace || name != st.s.Name {
		return nil, apierrors.NewNotFound(corev1.Resource("secrets"), name)
	}
	return st.s, nil
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	const good = "abcdef.0123456789abcdef"
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	set := func(k, v string) func(*corev1.Secret) { return func(s *corev1.Secret) { s.Data[k] = []byte(v) } }
	tests := map[string]struct {
		token  string
		change func(*corev1.Secret)
		groups []string // nil: not accepted
		err    bool
	}{
		"good":             {token: good, groups: []string{Group, "system:authenticated"}},
		"more groups":      {token: good, change: set(KeyGroups, "system:bootstrappers:a,system:bootstrappers:b"), groups: []string{Group, "system:bootstrappers:a", "system:bootstrappers:b", "system:authenticated"}},
		"group of others":  {token: good, change: set(KeyGroups, "system:masters"), err: true},
		"not its form":     {token: "abcdef.0123456789abcdeF"},
		"longer":           {token: good + "\n"},
		"unknown":          {token: "aaaaaa.0123456789abcdef"},
		"another secret":   {token: "abcdef.0123456789abcdee"},
		"another id":       {token: good, change: set(KeyID, "aaaaaa")},
		"not for this":     {token: good, change: func(s *corev1.Secret) { delete(s.Data, KeyUsage) }},
		"another type":     {token: good, change: func(s *corev1.Secret) { s.Type = corev1.SecretTypeOpaque }},
		"being deleted":    {token: good, change: func(s *corev1.Secret) { s.DeletionTimestamp = &metav1.Time{Time: now} }},
		"not expired":      {token: good, change: set(KeyExpiration, "2026-01-01T00:00:01Z"), groups: []string{Group, "system:authenticated"}},
		"expired":          {token: good, change: set(KeyExpiration, "2026-01-01T00:00:00Z")},
		"bad expiration":   {token: good, change: set(KeyExpiration, "never")},
		"the store broken": {token: good, change: func(s *corev1.Secret) { s.Namespace = "broken" }, err: true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &corev1.Secret{
				ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "bootstrap-token-abcdef"}, Type: SecretType,
				Data: map[string][]byte{KeyID: []byte("abcdef"), KeySecret: []byte("0123456789abcdef"), KeyUsage: []byte("true")},
			}
			if test.change != nil {
				test.change(s)
			}
			st := store{s}
			if s.Namespace == "broken" {
				st.s = nil
			}
			u, _, err := New(st, clocktesting.NewFakePassiveClock(now)).AuthenticateToken(t.Context(), test.token, nil)
			if (err != nil) != test.err || (u != nil) != (test.groups != nil) {
				t.Fatalf("got %+v, %v", u, err)
			}
			if u != nil && (u.Name != "system:bootstrap:abcdef" || !slices.Equal(u.Groups, test.groups)) {
				t.Errorf("got %+v", u)
			}
		})
	}
}
