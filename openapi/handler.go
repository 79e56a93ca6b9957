package openapi

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/kube-openapi/pkg/cached"
	"k8s.io/kube-openapi/pkg/handler"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"proa/resource"
)

// Handler serves the documents of what a table holds. It follows the table: a
// change makes the documents that it touches anew when they are next asked for.
type Handler struct {
	table *resource.Table
	merge func() (*mergeSchema, error)
	mux   *http.ServeMux
	v2    *handler.OpenAPIService
	v3    *handler3.OpenAPIService
	known map[schema.GroupVersion][]resource.Match
	// serial counts the documents that were made.
	serial atomic.Uint64
	// others are merged into v2; merged tells of a change.
	others atomic.Pointer[[]Other]
	merged chan struct{}
}

// New makes a handler. types is the converter of server-side apply; it is asked
// for only when a document is.
func New(table *resource.Table, types func() managedfields.TypeConverter) (*Handler, error) {
	h := &Handler{table: table, mux: http.NewServeMux(), known: map[schema.GroupVersion][]resource.Match{}, merged: make(chan struct{}, 1)}
	h.merge = sync.OnceValues(func() (*mergeSchema, error) {
		// Of all kinds, one whose type carries the schema of all.
		sample := &apiextensionsv1.CustomResourceDefinition{}
		sample.SetGroupVersionKind(apiextensionsv1.SchemeGroupVersion.WithKind("CustomResourceDefinition"))
		return newMergeSchema(types(), sample)
	})
	h.v3 = handler3.NewOpenAPIService()
	h.v2 = handler.NewOpenAPIServiceLazy(h.swagger(table.View()))
	h.update(table.View())
	h.v2.RegisterOpenAPIVersionedService("/openapi/v2", pathHandler{h.mux})
	if err := h.v3.RegisterOpenAPIV3VersionedService("/openapi/v3", pathHandler{h.mux}); err != nil {
		return nil, err
	}
	return h, nil
}

// ServeHTTP implements http.Handler for the paths below /openapi.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Run follows the table until ctx ends.
func (h *Handler) Run(ctx context.Context) {
	for {
		view, changed := h.table.Changed()
		h.v2.UpdateSpecLazy(h.swagger(view))
		h.update(view)
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-h.merged:
		}
	}
}

func (h *Handler) swagger(view *resource.View) cached.Value[*spec.Swagger] {
	return cached.Once(cached.Func(func() (*spec.Swagger, string, error) {
		m, err := h.merge()
		if err != nil {
			return nil, "", err
		}
		doc := v2(view, m)
		h.mergeOthers(doc)
		return doc, h.tag(), nil
	}))
}

// tag marks a document as another than all before: what is derived of it is
// computed anew only if its tag differs.
func (h *Handler) tag() string { return strconv.FormatUint(h.serial.Add(1), 10) }

// update gives every group and version its document.
func (h *Handler) update(view *resource.View) {
	served := map[schema.GroupVersion][]resource.Match{}
	for _, d := range view.Definitions {
		for i := range d.Served {
			gv := d.Served[i].GroupVersion
			served[gv] = append(served[gv], resource.Match{Definition: d, Served: &d.Served[i]})
		}
	}
	for gv := range h.known {
		if served[gv] == nil {
			h.v3.DeleteGroupVersion(pathOf(gv))
			delete(h.known, gv)
		}
	}
	for gv, list := range served {
		if slices.Equal(h.known[gv], list) {
			continue // what was computed of it stays
		}
		h.known[gv] = list
		h.v3.UpdateGroupVersionLazy(pathOf(gv), cached.Once(cached.Func(func() (*spec3.OpenAPI, string, error) {
			m, err := h.merge()
			if err != nil {
				return nil, "", err
			}
			return v3(list, m), h.tag(), nil
		})))
	}
}

func pathOf(gv schema.GroupVersion) string {
	if gv.Group == "" {
		return "api/" + gv.Version
	}
	return "apis/" + gv.String()
}

// pathHandler lets kube-openapi put its handlers into a ServeMux.
type pathHandler struct{ mux *http.ServeMux }

// Handle implements common.PathHandler.
func (p pathHandler) Handle(path string, h http.Handler) { p.mux.Handle(path, h) }

// HandlePrefix implements common.PathHandlerByGroupVersion.
func (p pathHandler) HandlePrefix(path string, h http.Handler) {
	if !strings.HasSuffix(path, "/") {
		path += "/"
	}
	p.mux.Handle(path, h)
}
