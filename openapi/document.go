package openapi

import (
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"proa/resource"
	"proa/version"
)

func info() *spec.Info {
	return &spec.Info{InfoProps: spec.InfoProps{Title: "Kubernetes", Version: version.Git()}}
}

func extensions(o *operation) spec.VendorExtensible {
	var x spec.VendorExtensible
	x.AddExtension("x-kubernetes-action", o.action)
	x.AddExtension(kindExtension, map[string]any{"group": o.gvk.Group, "version": o.gvk.Version, "kind": o.gvk.Kind})
	return x
}

// Media types of bodies and answers. What has no Go type has no protobuf form,
// and no strategic merge.
var (
	media             = []string{"application/json", "application/yaml", "application/vnd.kubernetes.protobuf"}
	dynamicMedia      = media[:2]
	patchMedia        = []string{"application/apply-patch+yaml", "application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"}
	dynamicPatchMedia = patchMedia[:3]
)

// media are the forms of the bodies and answers of a path.
func (p *path) media() []string {
	if p.dynamic {
		return dynamicMedia
	}
	return media
}

// patches are the forms of its patches.
func (p *path) patches() []string {
	if p.dynamic {
		return dynamicPatchMedia
	}
	return patchMedia
}

func typed(typ string) *spec.Schema {
	return &spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{typ}}}
}

// v3 is the document of one group and version.
func v3(served []resource.Match, merge *mergeSchema) *spec3.OpenAPI {
	s := &schemas{ref: "#/components/schemas/", merge: merge, out: map[string]spec.Schema{}}
	doc := &spec3.OpenAPI{
		Version: "3.0.0", Info: info(),
		Paths:      &spec3.Paths{Paths: map[string]*spec3.Path{}},
		Components: &spec3.Components{Schemas: map[string]*spec.Schema{}},
	}
	for _, m := range served {
		for _, p := range pathsOf(s, m.Definition, m.Served) {
			doc.Paths.Paths[p.url] = v3Path(s, &p)
		}
		kinds(s, m.Definition, m.Served)
	}
	for name, def := range s.out {
		doc.Components.Schemas[name] = &def
	}
	return doc
}

func v3Path(s *schemas, p *path) *spec3.Path {
	out := &spec3.Path{}
	in := func(name, where, typ, doc string, required bool) {
		out.Parameters = append(out.Parameters, &spec3.Parameter{ParameterProps: spec3.ParameterProps{
			Name: name, In: where, Required: required, Description: doc, Schema: typed(typ),
		}})
	}
	if p.named {
		in("name", "path", "string", "name of the object", true)
	}
	if p.namespaced {
		in("namespace", "path", "string", "namespace of the object", true)
	}
	for i := range p.operations {
		o := &p.operations[i]
		op := &spec3.Operation{VendorExtensible: extensions(o), OperationProps: spec3.OperationProps{OperationId: o.id, Description: o.doc}}
		for _, q := range o.query {
			op.Parameters = append(op.Parameters, &spec3.Parameter{ParameterProps: spec3.ParameterProps{
				Name: q.name, In: "query", Description: q.doc, Schema: typed(q.typ),
			}})
		}
		content := func(definition string, types []string) map[string]*spec3.MediaType {
			out := map[string]*spec3.MediaType{}
			for _, t := range types {
				out[t] = &spec3.MediaType{MediaTypeProps: spec3.MediaTypeProps{Schema: spec.RefSchema(s.ref + definition)}}
			}
			return out
		}
		if o.body != "" {
			types := p.media()
			if o.method == "patch" {
				types = p.patches()
			}
			op.RequestBody = &spec3.RequestBody{RequestBodyProps: spec3.RequestBodyProps{
				Required: o.method != "delete", Content: content(o.body, types),
			}}
		}
		ok := &spec3.Response{ResponseProps: spec3.ResponseProps{Description: "OK", Content: content(o.answer, p.media())}}
		op.Responses = &spec3.Responses{ResponsesProps: spec3.ResponsesProps{StatusCodeResponses: map[int]*spec3.Response{
			200: ok, 401: {ResponseProps: spec3.ResponseProps{Description: "Unauthorized"}},
		}}}
		switch o.method {
		case "get":
			out.Get = op
		case "put":
			out.Put = op
		case "post":
			out.Post = op
		case "delete":
			out.Delete = op
		case "patch":
			out.Patch = op
		}
	}
	return out
}

// v2 is the one document of everything.
func v2(view *resource.View, merge *mergeSchema) *spec.Swagger {
	s := &schemas{ref: "#/definitions/", v2: true, merge: merge, out: map[string]spec.Schema{}}
	doc := &spec.Swagger{SwaggerProps: spec.SwaggerProps{
		Swagger: "2.0", Info: info(), Paths: &spec.Paths{Paths: map[string]spec.PathItem{}}, Definitions: s.out,
	}}
	for _, d := range view.Definitions {
		for i := range d.Served {
			for _, p := range pathsOf(s, d, &d.Served[i]) {
				doc.Paths.Paths[p.url] = v2Path(s, &p)
			}
			kinds(s, d, &d.Served[i])
		}
	}
	return doc
}

func v2Path(s *schemas, p *path) spec.PathItem {
	var out spec.PathItem
	in := func(name, where, typ, doc string, required bool) spec.Parameter {
		return spec.Parameter{
			SimpleSchema: spec.SimpleSchema{Type: typ},
			ParamProps:   spec.ParamProps{Name: name, In: where, Description: doc, Required: required},
		}
	}
	if p.named {
		out.Parameters = append(out.Parameters, in("name", "path", "string", "name of the object", true))
	}
	if p.namespaced {
		out.Parameters = append(out.Parameters, in("namespace", "path", "string", "namespace of the object", true))
	}
	for i := range p.operations {
		o := &p.operations[i]
		op := &spec.Operation{VendorExtensible: extensions(o), OperationProps: spec.OperationProps{
			ID: o.id, Description: o.doc, Produces: p.media(), Consumes: p.media(), Schemes: []string{"https"},
		}}
		for _, q := range o.query {
			op.Parameters = append(op.Parameters, in(q.name, "query", q.typ, q.doc, false))
		}
		if o.body != "" {
			if o.method == "patch" {
				op.Consumes = p.patches()
			}
			op.Parameters = append(op.Parameters, spec.Parameter{ParamProps: spec.ParamProps{
				Name: "body", In: "body", Required: o.method != "delete", Schema: spec.RefSchema(s.ref + o.body),
			}})
		}
		ok := spec.Response{ResponseProps: spec.ResponseProps{Description: "OK", Schema: spec.RefSchema(s.ref + o.answer)}}
		op.Responses = &spec.Responses{ResponsesProps: spec.ResponsesProps{StatusCodeResponses: map[int]spec.Response{
			200: ok, 401: {ResponseProps: spec.ResponseProps{Description: "Unauthorized"}},
		}}}
		switch o.method {
		case "get":
			out.Get = op
		case "put":
			out.Put = op
		case "post":
			out.Post = op
		case "delete":
			out.Delete = op
		case "patch":
			out.Patch = op
		}
	}
	return out
}
