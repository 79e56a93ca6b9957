package apiserver

import (
	"net/http"
	"testing"
)

// FuzzImpersonated: nobody becomes somebody else without being asked about it.
func FuzzImpersonated(f *testing.F) {
	f.Add("bob", "system:masters", "Impersonate-Extra-Scopes", "view", "1")
	f.Add("system:serviceaccount:ns:sa", "", "Impersonate-Extra-%2f", "", "")
	f.Fuzz(func(t *testing.T, user, group, extra, value, uid string) {
		h := http.Header{impersonateUser: {user}, impersonateUID: {uid}, http.CanonicalHeaderKey(extra): {value}}
		if group != "" {
			h[impersonateGroup] = []string{group}
		}
		u, asks, err := impersonated(h)
		if err != nil {
			return
		}
		want := 1 + len(h[impersonateGroup])
		for _, v := range u.Extra {
			want += len(v)
		}
		if u.UID != "" {
			want++
		}
		if len(asks) != want || u.Name == "" {
			t.Errorf("%d questions, want %d, for %+v", len(asks), want, u)
		}
	})
}
