// Package openapi describes the API to clients, as OpenAPI v2 and v3, from the
// resource table and the Go types alone. Nothing is generated beforehand and
// nothing is computed before it is first asked for.
//
//	schema.go  a schema per Go type: fields by reflection, descriptions from
//	           SwaggerDoc, patch strategies from struct tags
//	merge.go   what reflection cannot know (which lists are maps or sets, and
//	           default values) from the schema by which server-side apply merges
//	paths.go   the operations of every resource
//	others.go  what other API servers serve, in the document of v2
//	handler.go /openapi/v2 and /openapi/v3, through kube-openapi's handlers
package openapi
