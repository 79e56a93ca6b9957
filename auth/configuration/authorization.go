package configuration

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"

	"proa/auth"
	"proa/auth/masters"
	"proa/auth/union"
	"proa/auth/webhook"
	"proa/reload"
)

// Types of authorizers, as the configuration and --authorization-mode name them.
const (
	TypeNode        = "Node"
	TypeRBAC        = "RBAC"
	TypeWebhook     = string(apiserver.TypeWebhook)
	TypeAlwaysAllow = "AlwaysAllow"
	TypeAlwaysDeny  = "AlwaysDeny"
)

// AuthorizationOptions say who decides. The zero value is Node and RBAC.
type AuthorizationOptions struct {
	// File is an AuthorizationConfiguration.
	File string
	// Modes are types of authorizers in their order, and Webhook the server that is
	// asked where TypeWebhook is among them. They are for those without a file.
	Modes   []string
	Webhook WebhookFlags

	// Node and RBAC authorize by the cluster's own objects.
	Node auth.Authorizer
	RBAC RBAC
	Log  *slog.Logger
}

// RBAC is an authorizer that can list what it allows.
type RBAC interface {
	auth.Authorizer
	RulesFor(u *auth.User, namespace string) ([]rbacv1.PolicyRule, error)
}

// WebhookFlags are upstream's classic flags for one webhook.
type WebhookFlags struct {
	ConfigFile string
	// Version of the SubjectAccessReview, v1beta1 or v1 (v1beta1).
	Version string
	// AuthorizedTTL and UnauthorizedTTL of remembered answers (5 minutes and 30
	// seconds).
	AuthorizedTTL, UnauthorizedTTL time.Duration
}

// modeTimeout of a webhook that flags name.
const modeTimeout = 30 * time.Second

// Authorization is an [auth.Authorizer] of what is configured. Safe for concurrent
// use.
type Authorization struct {
	options  AuthorizationOptions
	compiler authorizationcel.Compiler
	stop     context.CancelFunc
	running  sync.WaitGroup
	force    atomic.Pointer[authorizers]
}

// authorizers are a configuration in force.
type authorizers struct {
	union.Authorizers
	types sets.Set[string]
}

// OpenAuthorization reads the configuration. What it starts ends with ctx; Close
// waits for that.
func OpenAuthorization(ctx context.Context, o AuthorizationOptions) (*Authorization, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	z := &Authorization{options: o}
	ctx, z.stop = context.WithCancel(ctx)
	if err := z.open(ctx); err != nil {
		z.Close()
		return nil, err
	}
	return z, nil
}

func (z *Authorization) open(ctx context.Context) error {
	o := z.options
	if o.File == "" {
		c, err := fromModes(o.Modes, o.Webhook)
		if err != nil {
			return err
		}
		chain, err := z.make(c)
		if err != nil {
			return fmt.Errorf("authorization-mode: %w", err)
		}
		z.force.Store(chain)
		return nil
	}
	if len(o.Modes) > 0 || o.Webhook != (WebhookFlags{}) {
		return errors.New("authorization-config cannot be given together with authorization-mode or authorization-webhook-* flags: write the authorizers into the file")
	}
	data, err := reload.Read(o.File)
	if err == nil {
		err = z.load(ctx, data)
	}
	if err != nil {
		return fmt.Errorf("AuthorizationConfiguration %s cannot be used; correct it: %w", o.File, err)
	}
	f := reload.File{Path: o.File, Loaded: data, Load: z.load, Log: o.Log}
	z.running.Go(func() { f.Follow(ctx) })
	return nil
}

// Close ends everything that runs, and waits for it.
func (z *Authorization) Close() {
	z.stop()
	z.running.Wait()
}

// fromModes turns flags into what a configuration says.
func fromModes(modes []string, w WebhookFlags) (*apiserver.AuthorizationConfiguration, error) {
	if len(modes) == 0 {
		modes = []string{TypeNode, TypeRBAC}
	}
	if slices.Contains(modes, TypeWebhook) != (w.ConfigFile != "") {
		return nil, errors.New("authorization-mode Webhook and authorization-webhook-config-file must be given together")
	}
	if w.ConfigFile != "" {
		var err error
		if w.ConfigFile, err = filepath.Abs(w.ConfigFile); err != nil {
			return nil, err
		}
	}
	c := &apiserver.AuthorizationConfiguration{}
	for _, mode := range modes {
		a := apiserver.AuthorizerConfiguration{Type: apiserver.AuthorizerType(mode), Name: strings.ToLower(mode)}
		if mode == TypeWebhook {
			a.Webhook = w.configuration()
		}
		c.Authorizers = append(c.Authorizers, a)
	}
	return c, nil
}

func (w WebhookFlags) configuration() *apiserver.WebhookConfiguration {
	or := func(d, otherwise time.Duration) metav1.Duration {
		if d == 0 {
			d = otherwise
		}
		return metav1.Duration{Duration: d}
	}
	version := w.Version
	if version == "" {
		version = "v1beta1"
	}
	return &apiserver.WebhookConfiguration{
		AuthorizedTTL: or(w.AuthorizedTTL, 5*time.Minute), CacheAuthorizedRequests: true,
		UnauthorizedTTL: or(w.UnauthorizedTTL, 30*time.Second), CacheUnauthorizedRequests: true,
		Timeout: metav1.Duration{Duration: modeTimeout}, FailurePolicy: apiserver.FailurePolicyNoOpinion,
		SubjectAccessReviewVersion: version,
		ConnectionInfo:             apiserver.WebhookConnectionInfo{Type: apiserver.AuthorizationWebhookConnectionInfoTypeKubeConfigFile, KubeConfigFile: &w.ConfigFile},
	}
}

// load takes a file into force.
func (z *Authorization) load(_ context.Context, data []byte) error {
	c, err := decode[apiserver.AuthorizationConfiguration](data)
	if err != nil {
		return err
	}
	next, err := z.make(c)
	if err != nil {
		return err
	}
	z.force.Store(next)
	return nil
}

// builtin are the authorizers that need no further configuration.
func (z *Authorization) builtin() map[string]auth.Authorizer {
	return map[string]auth.Authorizer{
		TypeNode: z.options.Node, TypeRBAC: z.options.RBAC, TypeAlwaysAllow: auth.AuthorizerFunc(always), TypeAlwaysDeny: auth.AuthorizerFunc(never),
	}
}

func always(context.Context, *auth.Attributes) (auth.Decision, string, error) {
	return auth.Allow, "", nil
}

func never(context.Context, *auth.Attributes) (auth.Decision, string, error) {
	return auth.NoOpinion, "Everything is forbidden.", nil
}

// make brings a configuration to life. The operator's way in comes before it.
func (z *Authorization) make(c *apiserver.AuthorizationConfiguration) (*authorizers, error) {
	if z.compiler == nil && slices.ContainsFunc(c.Authorizers, func(a apiserver.AuthorizerConfiguration) bool { return a.Webhook != nil }) {
		z.compiler = authorizationcel.NewDefaultCompiler()
	}
	builtin := z.builtin()
	known := sets.New(slices.Collect(maps.Keys(builtin))...).Insert(TypeWebhook)
	if errs := validation.ValidateAuthorizationConfiguration(z.compiler, (*field.Path)(nil), c, known, sets.New(TypeWebhook)); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	chain := &authorizers{Authorizers: union.Authorizers{auth.AuthorizerFunc(masters.Authorize)}, types: sets.New[string]()}
	for _, a := range c.Authorizers {
		chain.types.Insert(string(a.Type))
		next := builtin[string(a.Type)]
		if a.Type == apiserver.TypeWebhook {
			var err error
			if next, err = webhook.NewAuthorizer(a.Name, *a.Webhook, z.compiler); err != nil {
				return nil, err
			}
		}
		chain.Authorizers = append(chain.Authorizers, next)
	}
	return chain, nil
}

// Authorize implements [auth.Authorizer].
func (z *Authorization) Authorize(ctx context.Context, a *auth.Attributes) (auth.Decision, string, error) {
	return z.force.Load().Authorize(ctx, a)
}

var errWebhookRules = errors.New("webhook authorizer does not support user rule resolution")

// RulesFor lists what a user may do in a namespace, as far as that is known: with an
// error where a webhook may allow more, or less.
func (z *Authorization) RulesFor(u *auth.User, namespace string) ([]rbacv1.PolicyRule, error) {
	types := z.force.Load().types
	var rules []rbacv1.PolicyRule
	var errs []error
	if types.Has(TypeAlwaysAllow) {
		rules = append(rules,
			rbacv1.PolicyRule{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}},
			rbacv1.PolicyRule{Verbs: []string{"*"}, NonResourceURLs: []string{"*"}})
	}
	if types.Has(TypeRBAC) {
		more, err := z.options.RBAC.RulesFor(u, namespace)
		rules, errs = append(rules, more...), append(errs, err)
	}
	if types.Has(TypeWebhook) {
		errs = append(errs, errWebhookRules)
	}
	return rules, errors.Join(errs...)
}
