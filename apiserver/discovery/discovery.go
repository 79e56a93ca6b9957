package discovery

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/apiserver/aggregator"
	"proa/apiserver/codec"
	"proa/apiserver/negotiate"
	"proa/apiserver/respond"
	"proa/resource"
)

// Handler answers /api, /apis and what describes the versions below them.
type Handler struct {
	Table *resource.Table
	// Address returns what /api tells as the address of the server, for the
	// client at the given one. It may be nil.
	Address func(r *http.Request) string
	// Remotes are the versions that other servers serve. It may be nil.
	Remotes func() *aggregator.Remotes

	mu      sync.Mutex
	view    *resource.View
	remotes *aggregator.Remotes
	built   *documents
}

// documents are all answers for one state of the table.
type documents struct {
	groups    metav1.APIGroupList
	byGroup   map[string]*metav1.APIGroup
	byVersion map[schema.GroupVersion]*metav1.APIResourceList
	core      *apidiscoveryv2.APIGroupDiscoveryList
	named     *apidiscoveryv2.APIGroupDiscoveryList
	coreTag   string
	namedTag  string
	// elsewhere are the versions that other servers serve.
	elsewhere []schema.GroupVersion
}

func (h *Handler) documents() *documents {
	v := h.Table.View()
	var remotes *aggregator.Remotes
	if h.Remotes != nil {
		remotes = h.Remotes()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.view != v || h.remotes != remotes {
		h.view, h.remotes = v, remotes
		h.built = build(v, remotes)
	}
	return h.built
}

// Serve answers a discovery path, and reports false for a path that is none.
func (h *Handler) Serve(w http.ResponseWriter, r *http.Request) bool {
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	d := h.documents()
	switch {
	case len(parts) == 1 && parts[0] == "api":
		h.root(w, r, d.core, d.coreTag, h.versions(r))
	case len(parts) == 1 && parts[0] == "apis":
		h.root(w, r, d.named, d.namedTag, &d.groups)
	case len(parts) == 2 && parts[0] == "api":
		list := d.byVersion[schema.GroupVersion{Version: parts[1]}]
		if list == nil {
			return false
		}
		send(w, r, list, legacy("APIResourceList"))
	case len(parts) == 2 && parts[0] == "apis":
		g := d.byGroup[parts[1]]
		if g == nil {
			return false
		}
		send(w, r, g, legacy("APIGroup"))
	case len(parts) == 3 && parts[0] == "apis":
		list := d.byVersion[schema.GroupVersion{Group: parts[1], Version: parts[2]}]
		if list == nil || parts[1] == "" {
			return false
		}
		send(w, r, list, legacy("APIResourceList"))
	default:
		return false
	}
	return true
}

// Paths lists the paths of groups and versions.
func (h *Handler) Paths() []string {
	d := h.documents()
	out := []string{"/api", "/apis"}
	for _, gv := range slices.AppendSeq(slices.Clone(d.elsewhere), maps.Keys(d.byVersion)) {
		if gv.Group == "" {
			out = append(out, "/api/"+gv.Version)
		} else {
			out = append(out, "/apis/"+gv.Group, "/apis/"+gv.Group+"/"+gv.Version)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (h *Handler) versions(r *http.Request) *metav1.APIVersions {
	v := &metav1.APIVersions{Versions: []string{"v1"}, ServerAddressByClientCIDRs: []metav1.ServerAddressByClientCIDR{}}
	if h.Address != nil {
		if a := h.Address(r); a != "" {
			v.ServerAddressByClientCIDRs = append(v.ServerAddressByClientCIDRs, metav1.ServerAddressByClientCIDR{ClientCIDR: "0.0.0.0/0", ServerAddress: a})
		}
	}
	return v
}

func legacy(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Version: "v1", Kind: kind}
}

// root answers /api or /apis in the form that the client prefers.
func (h *Handler) root(w http.ResponseWriter, r *http.Request, all *apidiscoveryv2.APIGroupDiscoveryList, tag string, old runtime.Object) {
	w.Header().Add("Vary", "Accept")
	f, version, ok := aggregated(r.Header.Get("Accept"))
	if !ok {
		kind := "APIGroupList"
		if _, isVersions := old.(*metav1.APIVersions); isVersions {
			kind = "APIVersions"
		}
		send(w, r, old, legacy(kind))
		return
	}
	w.Header().Set("ETag", tag)
	w.Header().Set("Cache-Control", "public")
	if r.Header.Get("If-None-Match") == tag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	gvk := schema.GroupVersionKind{Group: "apidiscovery.k8s.io", Version: version, Kind: "APIGroupDiscoveryList"}
	doc := *all
	doc.TypeMeta = metav1.TypeMeta{Kind: gvk.Kind, APIVersion: gvk.GroupVersion().String()}
	b, err := codec.Append(nil, f, &doc, gvk, false)
	if err != nil {
		respond.Error(w, r, err)
		return
	}
	respond.Bytes(w, r, http.StatusOK, f.MediaType()+";g=apidiscovery.k8s.io;v="+version+";as=APIGroupDiscoveryList", b)
}

// aggregated reports whether the client asks for the aggregated form before
// the old one.
func aggregated(accept string) (f codec.Format, version string, ok bool) {
	for part := range strings.SplitSeq(accept, ",") {
		fields := strings.Split(part, ";")
		params := map[string]string{}
		for _, p := range fields[1:] {
			k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
			params[k] = v
		}
		mt := strings.TrimSpace(fields[0])
		wants := params["as"] == "APIGroupDiscoveryList" && params["g"] == "apidiscovery.k8s.io"
		switch {
		case mt == "application/json" && params["as"] == "", mt == "*/*", mt == "application/yaml":
			return 0, "", false
		case mt == "application/json" && wants && (params["v"] == "v2" || params["v"] == "v2beta1"):
			return codec.JSON, params["v"], true
		case mt == "application/vnd.kubernetes.protobuf" && wants && params["v"] == "v2":
			return codec.Protobuf, params["v"], true
		}
	}
	return 0, "", false
}

func send(w http.ResponseWriter, r *http.Request, obj runtime.Object, gvk schema.GroupVersionKind) {
	out, err := negotiate.Accept(r, negotiate.Allowed{})
	if err != nil {
		respond.Error(w, r, err)
		return
	}
	b, err := codec.Append(nil, out.Format, withKind(obj, gvk), gvk, out.Pretty)
	if err != nil {
		respond.Error(w, r, err)
		return
	}
	respond.Bytes(w, r, http.StatusOK, out.ContentType(), b)
}

// withKind sets the kind on a shallow copy: documents are shared.
func withKind(obj runtime.Object, gvk schema.GroupVersionKind) runtime.Object {
	tm := metav1.TypeMeta{Kind: gvk.Kind, APIVersion: gvk.GroupVersion().String()}
	switch o := obj.(type) {
	case *metav1.APIVersions:
		c := *o
		c.TypeMeta = metav1.TypeMeta{Kind: gvk.Kind}
		return &c
	case *metav1.APIGroupList:
		c := *o
		c.TypeMeta = tm
		return &c
	case *metav1.APIGroup:
		c := *o
		c.TypeMeta = tm
		return &c
	case *metav1.APIResourceList:
		c := *o
		c.TypeMeta = tm
		return &c
	}
	return obj
}

// tagOf is the ETag of a document.
func tagOf(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return ""
	}
	sum := sha512.Sum512(b)
	return `"` + strings.ToUpper(hex.EncodeToString(sum[:])) + `"`
}
