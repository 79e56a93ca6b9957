package webhook_test

import (
	"fmt"
	"log/slog"
	"testing"

	"proa/admission"
	"proa/admission/webhook"
	"proa/apiserver/apitest"
	"proa/auth/source"
	"proa/resource/core"
)

// BenchmarkUnmatched is what a write costs that no webhook is about, with so
// many webhooks about others.
func BenchmarkUnmatched(b *testing.B) {
	for _, n := range []int{0, 1, 100} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := start(b)
			for i := range n {
				w.validate(b, fmt.Sprintf("/v%d", i), about("*", "apps", "v1", "deployments"))
				w.mutate(b, fmt.Sprintf("/m%d", i), about("*", "apps", "v1", "deployments"))
			}
			objects := source.New(w.Hub, w.Table.View())
			c := webhook.Config{Namespaces: objects, Log: slog.New(slog.DiscardHandler)}
			chain := admission.Chain{webhook.NewMutating(c, w.Hub, w.Table.View()), webhook.NewValidating(c, w.Hub, w.Table.View())}
			a := admission.Attributes{Operation: admission.Create, Definition: core.ConfigMap(), Namespace: "default", Name: "a", Object: config("a", nil), User: apitest.AdminUser}
			b.ReportAllocs()
			for b.Loop() {
				a := a
				if err := chain.Mutate(b.Context(), &a); err != nil {
					b.Fatal(err)
				}
				if err := chain.Validate(b.Context(), &a); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
