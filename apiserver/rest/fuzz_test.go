package rest

import (
	"net/url"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"proa/apiserver/codec"
	"proa/apiserver/request"
	"proa/resource/builtin"
)

// FuzzListOptions reads the queries of collections: selectors, tokens, limits.
func FuzzListOptions(f *testing.F) {
	m, ok := builtin.Table().View().Resource(corev1.SchemeGroupVersion.WithResource("pods"))
	if !ok {
		f.Fatal("no pods")
	}
	f.Add("labelSelector=a+in+(b,c),!d,e!=f&fieldSelector=spec.nodeName%3Dn,status.phase!%3DFailed&limit=5", false)
	f.Add("resourceVersion=5&resourceVersionMatch=NotOlderThan&sendInitialEvents=true&allowWatchBookmarks=1&timeoutSeconds=9", true)
	f.Fuzz(func(t *testing.T, raw string, watch bool) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		o, err := listOptions(&request.Call{Match: m, Query: q}, watch)
		if err == nil && (o.labels == nil || o.fields == nil || o.revision < 0) {
			t.Errorf("%+v", o)
		}
	})
}

// FuzzWriteOptions reads the queries of writes, and the bodies of deletes.
func FuzzWriteOptions(f *testing.F) {
	f.Add("dryRun=All&fieldManager=m&fieldValidation=Strict&force=true", 0, []byte(`{"gracePeriodSeconds":1,"preconditions":{"uid":"u"}}`))
	f.Add("gracePeriodSeconds=1&propagationPolicy=Foreground", 1, []byte("propagationPolicy: Orphan"))
	f.Add("", 2, []byte("k8s\x00\x0a\x00\x12\x02\x08\x01"))
	f.Fuzz(func(t *testing.T, raw string, format int, body []byte) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		_, _ = createOptions(q) // that none panics is all
		_, _ = updateOptions(q)
		for _, kind := range patchKinds {
			_, _ = patchOptions(q, kind)
		}
		if o, err := deleteOptions(codec.Format(format&3), body, q); err == nil && o.Kind != "DeleteOptions" {
			t.Errorf("%+v", o)
		}
	})
}

var patchKinds = []types.PatchType{types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType}
