package subresource

import (
	"context"

	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/apiserver/connect"
)

// TokenIssuer makes tokens of service accounts. admit is to be called with the
// completed request before a token is made; warn adds warnings.
type TokenIssuer interface {
	Create(ctx context.Context, namespace, name string, req *authenticationv1.TokenRequest,
		admit func(*authenticationv1.TokenRequest) error, warn func(string)) (*authenticationv1.TokenRequest, error)
}

// Token answers serviceaccounts/token.
func Token(issuer TokenIssuer) connect.Registry {
	return connect.Registry{{Resource: "serviceaccounts", Subresource: "token"}: {
		New:       func() runtime.Object { return new(authenticationv1.TokenRequest) },
		Kind:      authenticationv1.SchemeGroupVersion.WithKind("TokenRequest"),
		Validates: true,
		Answer: func(ctx context.Context, in *connect.Input) (runtime.Object, error) {
			req := in.Object.(*authenticationv1.TokenRequest)
			return issuer.Create(ctx, in.Namespace, in.Name, req,
				func(r *authenticationv1.TokenRequest) error { return in.Validate(r) }, in.Warn)
		},
	}}
}
