package apiserver

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/apiserver/request"
	"proa/auth"
)

// Headers by which a request asks to be treated as somebody else's.
const (
	impersonateUser  = "Impersonate-User"
	impersonateUID   = "Impersonate-Uid"
	impersonateGroup = "Impersonate-Group"
	impersonateExtra = "Impersonate-Extra-"
)

// impersonate lets a caller act as somebody else, for each part of whose
// identity it needs the permission to impersonate.
func (s *Server) impersonate(next handler) handler {
	return func(w http.ResponseWriter, r *http.Request, c *request.Call) error {
		if !impersonates(r.Header) {
			return next(w, r, c)
		}
		user, asks, err := impersonated(r.Header)
		if err != nil {
			return err
		}
		for _, a := range asks {
			a.User, a.Verb, a.IsResource, a.Version = c.User, "impersonate", true, "v1"
			if err := s.allow(r.Context(), a, nil); err != nil {
				return err
			}
		}
		for h := range r.Header {
			if strings.HasPrefix(h, "Impersonate-") {
				delete(r.Header, h)
			}
		}
		s.log.Info("impersonation", "user", c.User.Name, "as", user.Name, "path", r.URL.Path)
		c.User = user
		c.Audit.Impersonates(user)
		return next(w, r.WithContext(auth.WithUser(r.Context(), user)), c)
	}
}

func impersonates(h http.Header) bool {
	if h[impersonateUser] != nil || h[impersonateUID] != nil || h[impersonateGroup] != nil {
		return true
	}
	for k := range h {
		if strings.HasPrefix(k, impersonateExtra) {
			return true
		}
	}
	return false
}

// impersonated reads who is to be impersonated, and what must be asked for it.
func impersonated(h http.Header) (*auth.User, []*auth.Attributes, error) {
	name := h.Get(impersonateUser)
	if name == "" {
		return nil, nil, apierrors.NewBadRequest("requested impersonation without impersonating a user name")
	}
	u := &auth.User{Name: name, UID: h.Get(impersonateUID)}
	var asks []*auth.Attributes
	if ns, sa, ok := serviceAccount(name); ok {
		asks = append(asks, &auth.Attributes{Resource: "serviceaccounts", Namespace: ns, Name: sa})
		if len(h[impersonateGroup]) == 0 {
			u.Groups = []string{auth.GroupServiceAccounts, auth.GroupServiceAccounts + ":" + ns}
		}
	} else {
		asks = append(asks, &auth.Attributes{Resource: "users", Name: name})
	}
	for _, g := range h[impersonateGroup] {
		asks = append(asks, &auth.Attributes{Resource: "groups", Name: g})
		u.Groups = append(u.Groups, g)
	}
	for k, values := range h {
		raw, ok := strings.CutPrefix(k, impersonateExtra)
		if !ok {
			continue
		}
		key, err := url.PathUnescape(strings.ToLower(raw))
		if err != nil {
			key = strings.ToLower(raw)
		}
		if u.Extra == nil {
			u.Extra = map[string][]string{}
		}
		for _, v := range values {
			asks = append(asks, &auth.Attributes{Group: "authentication.k8s.io", Resource: "userextras", Subresource: key, Name: v})
			u.Extra[key] = append(u.Extra[key], v)
		}
	}
	if u.UID != "" {
		asks = append(asks, &auth.Attributes{Group: "authentication.k8s.io", Resource: "uids", Name: u.UID})
	}
	switch {
	case name == auth.Anonymous:
		if !slices.Contains(u.Groups, auth.GroupUnauthenticated) {
			u.Groups = append(u.Groups, auth.GroupUnauthenticated)
		}
	case !slices.Contains(u.Groups, auth.GroupAuthenticated) && !slices.Contains(u.Groups, auth.GroupUnauthenticated):
		u.Groups = append(u.Groups, auth.GroupAuthenticated)
	}
	return u, asks, nil
}

func serviceAccount(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, auth.ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	return namespace, name, ok && namespace != "" && name != "" && !strings.Contains(name, ":")
}

// forbidden is the refusal of a question.
func forbidden(a *auth.Attributes, reason string) error { return auth.Forbidden(a, reason) }
