package cli

import (
	"github.com/spf13/cobra"

	"proa/cluster"
)

// addAuth adds upstream's flags of who is let in, and who decides.
func addAuth(cmd *cobra.Command, c *cluster.API) {
	fl := cmd.Flags()
	n := &c.Authentication
	fl.StringVar(&n.ConfigFile, "authentication-config", "", "`file` with an AuthenticationConfiguration: issuers of tokens, and anonymous requests")
	boolFlag(cmd, &n.Anonymous, "anonymous-auth", "let requests without credentials in, everywhere or nowhere (default: for health only)")
	fl.StringVar(&n.OIDC.IssuerURL, "oidc-issuer-url", "", "`URL` of an issuer of OpenID Connect tokens")
	fl.StringVar(&n.OIDC.ClientID, "oidc-client-id", "", "`audience` that its tokens must be for")
	fl.StringVar(&n.OIDC.CAFile, "oidc-ca-file", "", "`file` with the authorities of its certificate (default: the system's)")
	fl.StringVar(&n.OIDC.UsernameClaim, "oidc-username-claim", "", "`claim` that names the user (default sub)")
	fl.StringVar(&n.OIDC.UsernamePrefix, "oidc-username-prefix", "", "`prefix` of user names, - for none (default: the issuer's URL and #, none for email)")
	fl.StringVar(&n.OIDC.GroupsClaim, "oidc-groups-claim", "", "`claim` that names the user's groups")
	fl.StringVar(&n.OIDC.GroupsPrefix, "oidc-groups-prefix", "", "`prefix` of group names")
	fl.StringSliceVar(&n.OIDC.SigningAlgs, "oidc-signing-algs", nil, "`algorithms` that its tokens may be signed with (default RS256)")
	fl.StringToStringVar(&n.OIDC.RequiredClaims, "oidc-required-claim", nil, "`claims` that must be there, with these values")
	fl.StringVar(&n.WebhookConfigFile, "authentication-token-webhook-config-file", "", "kubeconfig `file` of a server that is asked about tokens")
	fl.StringVar(&n.WebhookVersion, "authentication-token-webhook-version", "", "`version` of the TokenReview that it is sent: v1beta1 or v1 (default v1beta1)")
	fl.DurationVar(&n.WebhookCacheTTL.Duration, "authentication-token-webhook-cache-ttl", 0, "how `long` its answers are remembered (default 2m)")
	z := &c.Authorization
	fl.StringVar(&z.ConfigFile, "authorization-config", "", "`file` with an AuthorizationConfiguration")
	fl.StringSliceVar(&z.Modes, "authorization-mode", nil, "`authorizers` in their order, of AlwaysAllow, AlwaysDeny, Node, RBAC and Webhook (default Node,RBAC)")
	fl.StringVar(&z.WebhookConfigFile, "authorization-webhook-config-file", "", "kubeconfig `file` of the server that the mode Webhook asks")
	fl.StringVar(&z.WebhookVersion, "authorization-webhook-version", "", "`version` of the SubjectAccessReview that it is sent: v1beta1 or v1 (default v1beta1)")
	fl.DurationVar(&z.WebhookCacheAuthorizedTTL.Duration, "authorization-webhook-cache-authorized-ttl", 0, "how `long` it is remembered that something is allowed (default 5m)")
	fl.DurationVar(&z.WebhookCacheUnauthorizedTTL.Duration, "authorization-webhook-cache-unauthorized-ttl", 0, "how `long` it is remembered that something is not (default 30s)")
}
