package openapi

import (
	"k8s.io/kube-openapi/pkg/aggregator"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// Other is a part of another server's document of OpenAPI v2: what lies below a
// prefix of paths.
type Other struct {
	Prefix string
	// Document reads the other server's document.
	Document func() (*spec.Swagger, error)
}

// Merge has the documents of other servers merged into that of v2 from now on.
// It may be called at any time.
func (h *Handler) Merge(others []Other) {
	h.others.Store(&others)
	select {
	case h.merged <- struct{}{}:
	default:
	}
}

// mergeOthers adds what other servers serve. One that cannot be read is left out
// until it is merged anew.
func (h *Handler) mergeOthers(doc *spec.Swagger) {
	others := h.others.Load()
	if others == nil {
		return
	}
	for _, o := range *others {
		theirs, err := o.Document()
		if err != nil {
			continue // its availability is told elsewhere
		}
		part := aggregator.FilterSpecByPathsWithoutSideEffects(theirs, []string{o.Prefix})
		// Types of one name that differ get others; paths of this server win.
		_ = aggregator.MergeSpecsIgnorePathConflictRenamingDefinitionsAndParameters(doc, part) // what cannot be merged is left out
	}
}
