package rest

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/codec"
	"proa/apiserver/negotiate"
	"proa/apiserver/request"
	"proa/apiserver/table"
	"proa/cache"
	"proa/resource"
)

// bearer reports whether what a request brings or gets is a token, which is
// logged at no level.
func bearer(c *request.Call) bool { return c.Resource == "tokenreviews" || c.Subresource == "token" }

// auditRequest notes what a request brings, where that is logged.
func auditRequest(c *request.Call, obj any) {
	if !c.Audit.Requests() || bearer(c) {
		return
	}
	if js, err := json.Marshal(obj); err == nil {
		c.Audit.Request(js)
	}
}

// auditPatch notes a patch, where that is logged and reads as JSON.
func auditPatch(c *request.Call, body []byte) {
	if !c.Audit.Requests() {
		return
	}
	js := body
	if !json.Valid(js) {
		var err error
		if js, err = codec.YAMLToJSON(body); err != nil {
			return
		}
	}
	c.Audit.Request(js)
}

// auditResponse notes an object that is answered and is not one of the
// resource.
func auditResponse(c *request.Call, obj any) {
	if !c.Audit.Responses() || bearer(c) {
		return
	}
	if js, err := json.Marshal(obj); err == nil {
		c.Audit.Response(js)
	}
}

// auditObject notes an object of the resource that is answered, as it is stored.
func auditObject(c *request.Call, stored resource.Object) {
	if c.Audit == nil {
		return
	}
	c.Audit.Object(stored)
	if !c.Audit.Responses() {
		return
	}
	if obj, err := table.Converted(stored, c.Match.Served); err == nil {
		auditResponse(c, table.Typed(obj, c.Match.Served.GroupVersionKind()))
	}
}

// auditList notes a list that is answered.
func auditList(c *request.Call, res cache.ListResult) {
	if !c.Audit.Responses() {
		return
	}
	meta := metav1.ListMeta{ResourceVersion: formatRevision(res.Revision), Continue: res.Continue, RemainingItemCount: res.Remaining}
	if js, err := appendListJSON(nil, c.Match, negotiate.Output{}, meta, res.Entries); err == nil {
		c.Audit.Response(js)
	}
}
