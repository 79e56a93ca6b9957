package aggregator

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/handler3"
	"k8s.io/kube-openapi/pkg/validation/spec"
)

// OpenAPIPath is where a server says what documents it has.
const OpenAPIPath = "/openapi/v3"

// OpenAPI adds the documents of other servers to the index of this one's, which
// next serves. The documents themselves are read from the other servers.
func (a *Aggregator) OpenAPI(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		more := a.documents()
		if r.URL.Path != OpenAPIPath || r.Method != http.MethodGet || len(more) == 0 {
			next.ServeHTTP(w, r)
			return
		}
		own, plain := &recorded{header: http.Header{}}, r.Clone(r.Context())
		for _, name := range []string{"If-None-Match", "If-Modified-Since", "Accept-Encoding", "Range"} {
			plain.Header.Del(name) // what the client knows is the whole index
		}
		next.ServeHTTP(own, plain)
		var index handler3.OpenAPIV3Discovery
		if own.code != http.StatusOK || json.Unmarshal(own.body.Bytes(), &index) != nil {
			own.copyTo(w)
			return
		}
		maps.Copy(index.Paths, more)
		b, err := json.Marshal(index)
		if err != nil {
			own.copyTo(w)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-cache, private")
		w.Header().Set("Etag", fmt.Sprintf(`"%X"`, sha512.Sum512(b)))
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(b))
	})
}

// documents are those of servers that answer.
func (a *Aggregator) documents() map[string]handler3.OpenAPIV3DiscoveryGroupVersion {
	out := map[string]handler3.OpenAPIV3DiscoveryGroupVersion{}
	r := a.remotes.Load()
	for _, v := range r.Versions {
		if v.Current && v.document.ServerRelativeURL != "" {
			out[v.documentName()] = v.document
		}
	}
	return out
}

// documentName is the name of a version's document in an index.
func (r *Remote) documentName() string {
	if r.Group == "" {
		return "api/" + r.Version
	}
	return "apis/" + r.String()
}

// document asks a server for its index, and returns the entry of its version:
// none where it has none.
func (s *server) document(ctx context.Context) handler3.OpenAPIV3DiscoveryGroupVersion {
	var index handler3.OpenAPIV3Discovery
	r := Remote{GroupVersion: s.object.Load().GroupVersion()}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	if err := s.get(ctx, OpenAPIPath, &index); err != nil {
		return handler3.OpenAPIV3DiscoveryGroupVersion{}
	}
	d := index.Paths[r.documentName()]
	if path, _, _ := strings.Cut(d.ServerRelativeURL, "?"); path != OpenAPIPath+"/"+r.documentName() {
		return handler3.OpenAPIV3DiscoveryGroupVersion{} // it may not lead clients elsewhere
	}
	return d
}

// Swagger reads the document of OpenAPI v2 of the server of a version.
func (r *Remotes) Swagger(ctx context.Context, gv schema.GroupVersion) (*spec.Swagger, error) {
	s := r.by[gv]
	if s == nil || !s.available.Load() {
		return nil, errors.New("the server is not available")
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	doc := &spec.Swagger{}
	return doc, s.get(ctx, "/openapi/v2", doc)
}

// recorded is an answer that is kept.
type recorded struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (r *recorded) Header() http.Header { return r.header }

func (r *recorded) WriteHeader(code int) {
	if r.code == 0 {
		r.code = code
	}
}

func (r *recorded) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

func (r *recorded) copyTo(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(max(r.code, http.StatusOK))
	_, _ = w.Write(r.body.Bytes()) // the client has gone where it fails
}
