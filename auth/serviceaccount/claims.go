package serviceaccount

import (
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/auth"
)

// Keys of User.Extra.
const (
	ExtraPodName      = "authentication.kubernetes.io/pod-name"
	ExtraPodUID       = "authentication.kubernetes.io/pod-uid"
	ExtraNodeName     = "authentication.kubernetes.io/node-name"
	ExtraNodeUID      = "authentication.kubernetes.io/node-uid"
	ExtraCredentialID = "authentication.kubernetes.io/credential-id"
)

// Username is the user that a service account authenticates as.
func Username(namespace, name string) string {
	return auth.ServiceAccountPrefix + namespace + ":" + name
}

// SplitUsername is the inverse of Username.
func SplitUsername(user string) (namespace, name string, ok bool) {
	rest, ok := strings.CutPrefix(user, auth.ServiceAccountPrefix)
	if !ok {
		return "", "", false
	}
	namespace, name, ok = strings.Cut(rest, ":")
	if !ok || namespace == "" || name == "" || strings.Contains(name, ":") {
		return "", "", false
	}
	return namespace, name, true
}

// Groups are those of every service account of a namespace.
func Groups(namespace string) []string {
	return []string{auth.GroupServiceAccounts, auth.GroupServiceAccounts + ":" + namespace}
}

// User is the user of a service account, without a token: for components that
// run inside the API server's process.
func User(namespace, name, uid string) *auth.User {
	return &auth.User{Name: Username(namespace, name), UID: uid, Groups: append(Groups(namespace), auth.GroupAuthenticated)}
}

// claims is the content of a token.
type claims struct {
	jwt.Claims
	// Audience stands before the embedded one, which writes a single audience
	// as a string; clients know the list that upstream writes.
	Audience   audience `json:"aud"`
	Kubernetes private  `json:"kubernetes.io"`
}

// audience is written as a list, and read as a list or a string.
type audience []string

// UnmarshalJSON implements json.Unmarshaler.
func (a *audience) UnmarshalJSON(b []byte) error { return (*jwt.Audience)(a).UnmarshalJSON(b) }

type private struct {
	Namespace      string           `json:"namespace,omitempty"`
	Node           *ref             `json:"node,omitempty"`
	Pod            *ref             `json:"pod,omitempty"`
	Secret         *ref             `json:"secret,omitempty"`
	ServiceAccount ref              `json:"serviceaccount"`
	WarnAfter      *jwt.NumericDate `json:"warnafter,omitempty"`
}

type ref struct {
	Name string `json:"name,omitempty"`
	UID  string `json:"uid,omitempty"`
}

func refTo(o metav1.Object) *ref { return &ref{o.GetName(), string(o.GetUID())} }

// binding is what a token is bound to beside its account. At most one of pod,
// secret and node is set, but a pod's node goes with it.
type binding struct {
	pod    *corev1.Pod
	secret *corev1.Secret
	node   *corev1.Node
}

// newClaims describes a token that begins now. A warnAfter that is not zero is
// when its use begins to be noted as stale.
func newClaims(issuer, id string, sa *corev1.ServiceAccount, b binding, audiences []string, now time.Time, lifetime, warnAfter time.Duration) *claims {
	c := &claims{
		Claims: jwt.Claims{
			ID: id, Issuer: issuer, Subject: Username(sa.Namespace, sa.Name),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(lifetime)),
		},
		Audience:   audiences,
		Kubernetes: private{Namespace: sa.Namespace, ServiceAccount: *refTo(sa)},
	}
	switch {
	case b.pod != nil:
		c.Kubernetes.Pod = refTo(b.pod)
		if b.node != nil {
			c.Kubernetes.Node = refTo(b.node)
		}
	case b.secret != nil:
		c.Kubernetes.Secret = refTo(b.secret)
	case b.node != nil:
		c.Kubernetes.Node = refTo(b.node)
	}
	if warnAfter != 0 {
		c.Kubernetes.WarnAfter = jwt.NewNumericDate(now.Add(warnAfter))
	}
	return c
}

// user is who the token speaks for, once it has been verified.
func (c *claims) user() *auth.User {
	k := &c.Kubernetes
	u := User(k.Namespace, k.ServiceAccount.Name, k.ServiceAccount.UID)
	u.Extra = map[string][]string{}
	if c.ID != "" {
		u.Extra[ExtraCredentialID] = []string{"JTI=" + c.ID}
	}
	if k.Pod != nil {
		u.Extra[ExtraPodName], u.Extra[ExtraPodUID] = []string{k.Pod.Name}, []string{k.Pod.UID}
	}
	if k.Node != nil {
		u.Extra[ExtraNodeName] = []string{k.Node.Name}
		if k.Node.UID != "" {
			u.Extra[ExtraNodeUID] = []string{k.Node.UID}
		}
	}
	return u
}
