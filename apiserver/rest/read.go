package rest

import (
	"context"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/request"
	"proa/cache"
)

// Get reads one object at the revision that the query asks for.
func (a *API) Get(ctx context.Context, c *request.Call, resourceVersion string) (*cache.Entry, error) {
	d := c.Match.Definition
	match, rev := cache.Latest, int64(0)
	switch resourceVersion {
	case "":
	case "0":
		match = cache.Any
	default:
		n, err := strconv.ParseUint(resourceVersion, 10, 63)
		if err != nil {
			return nil, invalidVersion(resourceVersion, err)
		}
		match, rev = cache.NotOlder, int64(n)
	}
	ns := c.Namespace
	if d.ClusterScoped {
		ns = ""
	}
	e, _, err := a.Hub.Cache(d).Get(ctx, ns, c.Name, match, rev)
	return e, failure(d, c.Name, err)
}

// list reads what a query selects.
func (a *API) list(ctx context.Context, c *request.Call, q *query) (cache.ListResult, error) {
	d := c.Match.Definition
	r := cache.ListRequest{
		Predicate: cache.NewPredicate(d, c.Match.Served, c.Namespace, q.labels, q.fields),
		Limit:     q.Limit, Continue: q.Continue,
	}
	// See "Semantics for get and list" in the API concepts of Kubernetes.
	switch {
	case q.ResourceVersion == "":
		r.Match = cache.Latest
	case q.ResourceVersionMatch == metav1.ResourceVersionMatchExact:
		r.Match, r.Revision = cache.Exact, q.revision
	case q.revision == 0:
		r.Match = cache.Any
	case q.Limit > 0 && q.ResourceVersionMatch == "":
		// A page without a match mode is of exactly that revision.
		r.Match, r.Revision = cache.Exact, q.revision
	default:
		r.Match, r.Revision = cache.NotOlder, q.revision
	}
	res, err := a.Hub.Cache(d).List(ctx, r)
	return res, failure(d, "", err)
}
