package openapi

import (
	"reflect"
	"slices"
	"strings"

	autoscalingv1 "k8s.io/api/autoscaling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/resource"
)

// operation is one method on one path, in neither version of the
// specification.
type operation struct {
	method string // get, put, post, delete, patch
	action string // x-kubernetes-action
	id     string
	gvk    schema.GroupVersionKind
	// query parameters; namespace and name come from the path.
	query []parameter
	// body and answer are definitions, "" for none.
	body, answer string
	doc          string
}

type parameter struct{ name, typ, doc string }

// path is a URL with its operations.
type path struct {
	url string
	// dynamic resources have fewer forms.
	dynamic    bool
	namespaced bool
	named      bool
	operations []operation
}

var (
	pretty    = parameter{"pretty", "string", "If 'true', then the output is indented."}
	dryRun    = parameter{"dryRun", "string", "'All' processes the request without storing anything."}
	manager   = parameter{"fieldManager", "string", "The name of the one who makes these changes."}
	validates = parameter{"fieldValidation", "string", "What is done about unknown and duplicate fields: Ignore, Warn or Strict."}
	force     = parameter{"force", "boolean", "Whether an apply takes fields over from other managers."}
	listing   = []parameter{
		{"allowWatchBookmarks", "boolean", "Whether a watch may send bookmarks."},
		{"continue", "string", "Where a former list has ended."},
		{"fieldSelector", "string", "Restricts the objects by their fields."},
		{"labelSelector", "string", "Restricts the objects by their labels."},
		{"limit", "integer", "The largest number of objects in one answer."},
		{"resourceVersion", "string", "How recent the answer must be."},
		{"resourceVersionMatch", "string", "How resourceVersion is meant."},
		{"sendInitialEvents", "boolean", "Whether a watch begins with the objects that exist."},
		{"timeoutSeconds", "integer", "How long the request may take."},
		{"watch", "boolean", "Whether changes are to be sent instead of a list."},
	}
	deleting = []parameter{
		dryRun,
		{"gracePeriodSeconds", "integer", "How long the object may take to end."},
		{"orphanDependents", "boolean", "Replaced by propagationPolicy."},
		{"propagationPolicy", "string", "What becomes of dependents: Orphan, Background or Foreground."},
	}
)

// pathsOf lists the operations of a resource in one version.
func pathsOf(s *schemas, d *resource.Definition, v *resource.Served) []path {
	gvk := v.GroupVersionKind()
	base := "/apis/" + v.GroupVersion.Group + "/" + v.GroupVersion.Version
	if v.GroupVersion.Group == "" {
		base = "/api/" + v.GroupVersion.Version
	}
	ns := ""
	if !d.ClusterScoped {
		base, ns = base+"/namespaces/{namespace}", "Namespaced"
	}
	obj, list := s.kind(d, v)
	status := s.define(reflect.TypeFor[metav1.Status]())
	name := group(gvk) + ns + gvk.Kind
	op := func(method, action, verb, body, answer string, query ...parameter) operation {
		return operation{method: method, action: action, id: verb + name, gvk: gvk, query: append(query, pretty), body: body, answer: answer, doc: verb + " " + gvk.Kind}
	}
	collection := path{url: base + "/" + d.Plural, dynamic: d.Dynamic != nil, namespaced: ns != ""}
	item := path{url: base + "/" + d.Plural + "/{name}", dynamic: d.Dynamic != nil, namespaced: ns != "", named: true}
	options := s.define(reflect.TypeFor[metav1.DeleteOptions]())
	patchBody := s.define(reflect.TypeFor[metav1.Patch]())
	for _, verb := range d.Verbs {
		switch verb {
		case "list":
			collection.operations = append(collection.operations, op("get", "list", "list", "", list, listing...))
		case "create":
			collection.operations = append(collection.operations, op("post", "post", "create", obj, obj, dryRun, manager, validates))
		case "deletecollection":
			collection.operations = append(collection.operations, op("delete", "deletecollection", "deleteCollection", options, status, append(slices.Clone(deleting), listing...)...))
		case "get":
			item.operations = append(item.operations, op("get", "get", "read", "", obj))
		case "update":
			item.operations = append(item.operations, op("put", "put", "replace", obj, obj, dryRun, manager, validates))
		case "patch":
			item.operations = append(item.operations, op("patch", "patch", "patch", patchBody, obj, dryRun, manager, validates, force))
		case "delete":
			item.operations = append(item.operations, op("delete", "delete", "delete", options, status, deleting...))
		}
	}
	out := []path{collection, item}
	part := func(sub string, kind schema.GroupVersionKind, definition string, verbs []string) {
		p := path{url: item.url + "/" + sub, dynamic: item.dynamic, namespaced: ns != "", named: true}
		for _, verb := range verbs {
			o := map[string]operation{
				"get":    op("get", "get", "read", "", definition),
				"create": op("post", "post", "create", definition, definition, dryRun, manager, validates),
				"update": op("put", "put", "replace", definition, definition, dryRun, manager, validates),
				"patch":  op("patch", "patch", "patch", patchBody, definition, dryRun, manager, validates, force),
			}[verb]
			if o.method == "" {
				continue
			}
			o.gvk, o.id = kind, o.id+strings.ToUpper(sub[:1])+sub[1:]
			p.operations = append(p.operations, o)
		}
		out = append(out, p)
	}
	for sub, u := range v.Updates {
		part(sub, gvk, obj, u.Verbs)
	}
	if v.Scale != nil {
		part("scale", autoscalingv1.SchemeGroupVersion.WithKind("Scale"), s.define(reflect.TypeFor[autoscalingv1.Scale]()), []string{"get", "patch", "update"})
	}
	return slices.DeleteFunc(out, func(p path) bool { return len(p.operations) == 0 })
}

// group is how operation ids name a group and version: CoreV1, AppsV1.
func group(gvk schema.GroupVersionKind) string {
	g, _, _ := strings.Cut(gvk.Group, ".")
	if g == "" {
		g = "core"
	}
	return strings.ToUpper(g[:1]) + g[1:] + strings.ToUpper(gvk.Version[:1]) + gvk.Version[1:]
}

// kinds marks the definitions of served objects and lists with what they are.
func kinds(s *schemas, d *resource.Definition, v *resource.Served) {
	if d.Dynamic != nil {
		return // it has done so itself
	}
	mark := func(o any, kind string) {
		name := s.define(reflect.TypeOf(o).Elem())
		def := s.out[name]
		gvk := map[string]any{"group": v.GroupVersion.Group, "version": v.GroupVersion.Version, "kind": kind}
		have, _ := def.Extensions[kindExtension].([]any)
		def.AddExtension(kindExtension, append(have, gvk))
		s.out[name] = def
	}
	mark(v.New(), v.Kind)
	if v.NewList != nil {
		if l := v.NewList(); l != nil {
			mark(l, v.Kind+"List")
		}
	}
}

const kindExtension = "x-kubernetes-group-version-kind"
