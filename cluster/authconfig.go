package cluster

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/auth/configuration"
	"proa/auth/webhook"
)

// Authentication says who is let in beside those with certificates and tokens of the
// cluster itself.
type Authentication struct {
	// ConfigFile is an AuthenticationConfiguration of apiserver.config.k8s.io/v1,
	// which is followed.
	ConfigFile string `json:"configFile,omitempty"`
	// Anonymous lets requests without credentials in, everywhere (true) or nowhere
	// (false). Default: as the file says, else for health only.
	Anonymous *bool `json:"anonymous,omitempty"`
	// OIDC is one issuer of tokens, for those without a file.
	OIDC OIDC `json:"oidc,omitempty"`
	// WebhookConfigFile is a kubeconfig of a server that is asked about tokens.
	WebhookConfigFile string `json:"webhookConfigFile,omitempty"`
	// WebhookVersion of the TokenReview, v1beta1 or v1. Default v1beta1.
	WebhookVersion string `json:"webhookVersion,omitempty"`
	// WebhookCacheTTL is how long its answers are remembered. Default 2m.
	WebhookCacheTTL metav1.Duration `json:"webhookCacheTTL,omitzero"`
}

// OIDC describes an issuer as upstream's flags of these names do.
type OIDC struct {
	IssuerURL      string            `json:"issuerURL,omitempty"`
	ClientID       string            `json:"clientID,omitempty"`
	CAFile         string            `json:"caFile,omitempty"`
	UsernameClaim  string            `json:"usernameClaim,omitempty"`
	UsernamePrefix string            `json:"usernamePrefix,omitempty"`
	GroupsClaim    string            `json:"groupsClaim,omitempty"`
	GroupsPrefix   string            `json:"groupsPrefix,omitempty"`
	SigningAlgs    []string          `json:"signingAlgs,omitempty"`
	RequiredClaims map[string]string `json:"requiredClaims,omitempty"`
}

// Authorization says who decides. system:masters may do everything in any case.
type Authorization struct {
	// ConfigFile is an AuthorizationConfiguration of apiserver.config.k8s.io/v1,
	// which is followed.
	ConfigFile string `json:"configFile,omitempty"`
	// Modes are types of authorizers in their order, for those without a file.
	// Default Node, RBAC.
	Modes []string `json:"modes,omitempty"`
	// WebhookConfigFile is a kubeconfig of the server that the mode Webhook asks.
	WebhookConfigFile string `json:"webhookConfigFile,omitempty"`
	// WebhookVersion of the SubjectAccessReview, v1beta1 or v1. Default v1beta1.
	WebhookVersion string `json:"webhookVersion,omitempty"`
	// WebhookCacheAuthorizedTTL and WebhookCacheUnauthorizedTTL are how long its
	// answers are remembered. Default 5m and 30s.
	WebhookCacheAuthorizedTTL   metav1.Duration `json:"webhookCacheAuthorizedTTL,omitzero"`
	WebhookCacheUnauthorizedTTL metav1.Duration `json:"webhookCacheUnauthorizedTTL,omitzero"`
}

func (a Authentication) options() configuration.AuthenticationOptions {
	o := configuration.AuthenticationOptions{
		File: a.ConfigFile, OIDC: configuration.OIDC(a.OIDC), Anonymous: a.Anonymous,
		Webhook: webhook.Tokens{Kubeconfig: a.WebhookConfigFile, Version: a.WebhookVersion, TTL: a.WebhookCacheTTL.Duration},
	}
	set(&o.Webhook.Version, "v1beta1")
	if o.Webhook.TTL == 0 {
		o.Webhook.TTL = webhook.DefaultTokenTTL
	}
	return o
}

func (a Authorization) options() configuration.AuthorizationOptions {
	return configuration.AuthorizationOptions{
		File: a.ConfigFile, Modes: a.Modes,
		Webhook: configuration.WebhookFlags{
			ConfigFile: a.WebhookConfigFile, Version: a.WebhookVersion,
			AuthorizedTTL: a.WebhookCacheAuthorizedTTL.Duration, UnauthorizedTTL: a.WebhookCacheUnauthorizedTTL.Duration,
		},
	}
}
