package webhook

import (
	"context"
	"fmt"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook/metrics"

	"proa/auth"
	"proa/auth/library"
)

// Authorizer is an [auth.Authorizer] that asks a server.
type Authorizer struct{ asked *webhook.WebhookAuthorizer }

// NewAuthorizer makes one of a configuration that has been validated and has its
// defaults.
func NewAuthorizer(name string, c apiserver.WebhookConfiguration, compiler authorizationcel.Compiler) (*Authorizer, error) {
	if c.ConnectionInfo.Type != apiserver.AuthorizationWebhookConnectionInfoTypeKubeConfigFile || c.ConnectionInfo.KubeConfigFile == nil {
		return nil, fmt.Errorf("authorizer %s: connectionInfo.type must be KubeConfigFile in an API server", name)
	}
	config, err := client(*c.ConnectionInfo.KubeConfigFile, c.Timeout.Duration)
	if err != nil {
		return nil, fmt.Errorf("authorizer %s: %w", name, err)
	}
	allowed, refused := c.AuthorizedTTL.Duration, c.UnauthorizedTTL.Duration
	if !c.CacheAuthorizedRequests {
		allowed = 0
	}
	if !c.CacheUnauthorizedRequests {
		refused = 0
	}
	onError := authorizer.DecisionNoOpinion
	if c.FailurePolicy == apiserver.FailurePolicyDeny {
		onError = authorizer.DecisionDeny
	}
	w, err := webhook.New(config, c.SubjectAccessReviewVersion, allowed, refused, retries(), onError, c.MatchConditions, name, recorder{}, compiler)
	if err != nil {
		return nil, fmt.Errorf("authorizer %s: %w", name, err)
	}
	return &Authorizer{w}, nil
}

// Authorize implements [auth.Authorizer].
func (w *Authorizer) Authorize(ctx context.Context, a *auth.Attributes) (auth.Decision, string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	d, reason, err := w.asked.Authorize(ctx, library.Question(a))
	return library.Decision(d), reason, err
}

// recorder records nothing.
type recorder struct {
	metrics.NoopRequestMetrics
	metrics.NoopWebhookMetrics
	authorizationcel.NoopMatcherMetrics
}
