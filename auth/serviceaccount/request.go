package serviceaccount

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/clock"
)

const (
	defaultExpiration = 3600
	minExpiration     = 600
	maxExpiration     = 1 << 32
	// warnOnly is the expiration that pods ask for whose clients may read
	// their token once and never again. Those get extended ones in truth, and
	// their use past warnOnly is noted.
	warnOnly = 3607
	extended = 365 * 24 * time.Hour
)

// Requests answers TokenRequests. Safe for concurrent use.
type Requests struct {
	Issuer *Issuer
	// Audiences are the API server's own, which a request that names none
	// gets.
	Audiences []string
	Objects   Objects
	Clock     clock.PassiveClock
	// MaxExpiration shortens what is asked for; 0 does not.
	MaxExpiration time.Duration
	// NoExtension gives the pods' own tokens the lifetime that they ask for.
	NoExtension bool
}

var tokenRequestKind = authenticationv1.SchemeGroupVersion.WithKind("TokenRequest").GroupKind()

// Default fills in what a TokenRequest leaves out.
func Default(req *authenticationv1.TokenRequest) {
	if req.Spec.ExpirationSeconds == nil {
		n := int64(defaultExpiration)
		req.Spec.ExpirationSeconds = &n
	}
}

// Create answers a request for a token of the service account, in the user's
// place once he is known to be allowed to ask. It changes req, up to the point
// where validators of admission may look at it: admit is called there, and
// may be nil. warn is told what is not as asked for, and may be nil.
func (r *Requests) Create(ctx context.Context, namespace, name string, req *authenticationv1.TokenRequest,
	admit func(*authenticationv1.TokenRequest) error, warn func(string),
) (*authenticationv1.TokenRequest, error) {
	if req.Name != "" && req.Name != name {
		return nil, invalid(name, field.Invalid(field.NewPath("metadata", "name"), req.Name, "must match the service account name if specified"))
	}
	if req.Namespace != "" && req.Namespace != namespace {
		return nil, invalid(name, field.Invalid(field.NewPath("metadata", "namespace"), req.Namespace, "must match the service account namespace if specified"))
	}
	sa, err := r.Objects.ServiceAccount(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	Default(req)
	if len(req.Spec.Audiences) == 0 {
		req.Spec.Audiences = slices.Clone(r.Audiences)
	}
	req.Name, req.Namespace = sa.Name, sa.Namespace
	// The time is taken first, so that the token lives no shorter than the
	// answer says.
	now := r.Clock.Now()
	req.CreationTimestamp = metav1.NewTime(now)
	req.Status = authenticationv1.TokenRequestStatus{}
	if errs := validate(req); len(errs) > 0 {
		return nil, apierrors.NewInvalid(tokenRequestKind, "", errs)
	}
	if admit != nil {
		if err := admit(req); err != nil {
			return nil, err
		}
	}
	b, err := r.bind(ctx, sa, req.Spec.BoundObjectRef)
	if err != nil {
		return nil, err
	}
	asked := time.Duration(*req.Spec.ExpirationSeconds) * time.Second
	if r.MaxExpiration > 0 && asked > r.MaxExpiration {
		if warn != nil {
			warn(fmt.Sprintf("requested expiration of %d seconds shortened to %d seconds", *req.Spec.ExpirationSeconds, int64(r.MaxExpiration/time.Second)))
		}
		asked = r.MaxExpiration
		seconds := int64(asked / time.Second)
		req.Spec.ExpirationSeconds = &seconds
	}
	lifetime, warnAfter := asked, time.Duration(0)
	if !r.NoExtension && b.pod != nil && asked == warnOnly*time.Second && r.ours(req.Spec.Audiences) {
		lifetime, warnAfter = extended, asked
	}
	tok, err := r.Issuer.sign(newClaims(r.Issuer.name, uuid.NewString(), sa, b, req.Spec.Audiences, now, lifetime, warnAfter))
	if err != nil {
		return nil, fmt.Errorf("failed to generate token: %w", err)
	}
	out := req.DeepCopy()
	out.Status = authenticationv1.TokenRequestStatus{Token: tok, ExpirationTimestamp: metav1.NewTime(now.Add(asked))}
	return out, nil
}

// ours reports whether all audiences are the API server's.
func (r *Requests) ours(audiences []string) bool {
	for _, a := range audiences {
		if !slices.Contains(r.Audiences, a) {
			return false
		}
	}
	return true
}

// bind fetches the object that a token is to be bound to.
func (r *Requests) bind(ctx context.Context, sa *corev1.ServiceAccount, to *authenticationv1.BoundObjectReference) (binding, error) {
	var b binding
	if to == nil {
		return b, nil
	}
	gvk := schema.FromAPIVersionAndKind(to.APIVersion, to.Kind)
	var uid types.UID
	var err error
	switch {
	case gvk.Group == "" && gvk.Kind == "Pod":
		if b.pod, err = r.Objects.Pod(ctx, sa.Namespace, to.Name); err != nil {
			return b, err
		}
		if b.pod.Spec.ServiceAccountName != sa.Name {
			return b, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token for serviceaccount %q to pod running with different serviceaccount name.", sa.Name))
		}
		uid = b.pod.UID
		if n := b.pod.Spec.NodeName; n != "" {
			b.node, err = r.Objects.Node(ctx, n)
			if apierrors.IsNotFound(err) {
				// The name is worth knowing even so.
				b.node, err = &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}}, nil
			}
			if err != nil {
				return b, err
			}
		}
	case gvk.Group == "" && gvk.Kind == "Secret":
		if b.secret, err = r.Objects.Secret(ctx, sa.Namespace, to.Name); err != nil {
			return b, err
		}
		uid = b.secret.UID
	case gvk.Group == "" && gvk.Kind == "Node":
		if b.node, err = r.Objects.Node(ctx, to.Name); err != nil {
			return b, err
		}
		uid = b.node.UID
	default:
		return b, apierrors.NewBadRequest(fmt.Sprintf("cannot bind token to object of type %s", gvk.String()))
	}
	if to.UID != "" && uid != to.UID {
		return b, apierrors.NewConflict(schema.GroupResource{Group: gvk.Group, Resource: gvk.Kind}, to.Name,
			fmt.Errorf("the UID in the bound object reference (%s) does not match the UID in record. The object might have been deleted and then recreated", to.UID))
	}
	return b, nil
}

func validate(req *authenticationv1.TokenRequest) field.ErrorList {
	var errs field.ErrorList
	p, n := field.NewPath("spec", "expirationSeconds"), *req.Spec.ExpirationSeconds
	if n < minExpiration {
		errs = append(errs, field.Invalid(p, n, "may not specify a duration less than 10 minutes"))
	}
	if n > maxExpiration {
		errs = append(errs, field.Invalid(p, n, "may not specify a duration larger than 2^32 seconds"))
	}
	return errs
}

func invalid(name string, err *field.Error) error {
	return apierrors.NewInvalid(tokenRequestKind, name, field.ErrorList{err})
}
