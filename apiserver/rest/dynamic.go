package rest

import (
	"net/http"

	"proa/apiserver/negotiate"
	"proa/apiserver/request"
	"proa/apiserver/table"
	"proa/resource"
)

// asAsked is a stored object as the hooks of the request see it: as it is, but
// for dynamic ones, which are converted to the version that was asked for.
func asAsked(c *request.Call, stored resource.Object) (resource.Object, error) {
	if c.Match.Definition.Dynamic == nil {
		return stored, nil
	}
	return table.Converted(stored, c.Match.Served)
}

// toStorage is the reverse: the object as it is to be stored.
func toStorage(d *resource.Definition, obj resource.Object) (resource.Object, error) {
	if d.Dynamic == nil {
		return obj, nil
	}
	return d.Dynamic.ToStorage(obj)
}

// accept chooses the form of an answer that is an object of the resource, or
// made of one.
func accept(r *http.Request, c *request.Call) (negotiate.Output, error) {
	t := transforms
	t.JSONOnly = c.Match.Definition.Dynamic != nil
	return negotiate.Accept(r, t)
}

// misplaced reports whether a URL has a namespace for what lies in none, or none
// for what lies in one: there is no such path.
func misplaced(c *request.Call) bool {
	if c.Match.ClusterScoped {
		return c.Namespace != ""
	}
	return c.Namespace == "" && c.Verb != "list" && c.Verb != "watch"
}
