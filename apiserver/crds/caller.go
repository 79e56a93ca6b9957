package crds

import (
	"context"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"proa/apiserver/callout"
)

// Webhooks asks the webhooks of conversions over the network.
type Webhooks struct{ Caller *callout.Caller }

// Call implements custom.Caller.
func (w Webhooks) Call(ctx context.Context, where *apiextensionsv1.WebhookClientConfig, body []byte) ([]byte, error) {
	t := callout.Target{CA: where.CABundle}
	if where.URL != nil {
		t.URL = *where.URL
	}
	if s := where.Service; s != nil {
		t.Service = &callout.Service{Namespace: s.Namespace, Name: s.Name, Port: 443}
		if s.Path != nil {
			t.Service.Path = *s.Path
		}
		if s.Port != nil {
			t.Service.Port = *s.Port
		}
	}
	return w.Caller.Post(ctx, t, body)
}
