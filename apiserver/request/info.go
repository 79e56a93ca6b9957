package request

import (
	"fmt"
	"net/url"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation/path"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Info is what a request is about.
type Info struct {
	// Path is the decoded path of the URL.
	Path string
	// Verb is get, list, watch, create, update, patch, delete or
	// deletecollection for a resource; the HTTP method in lower case otherwise.
	Verb string
	// IsResource: the path names a resource, and the fields below hold.
	IsResource  bool
	Group       string
	Version     string
	Namespace   string
	Resource    string
	Name        string
	Subresource string
	// Rest is what follows the subresource, with the slash that begins it:
	// the path that a proxy passes on.
	Rest string
	// NameFromSelector: Name comes from a field selector, not from the path.
	// It counts for authorization only.
	NameFromSelector bool
	// LegacyWatch: the path is of the old form with /watch/ before the resource.
	LegacyWatch bool
	// Selectors of a list, watch or deletecollection, as authorizers see them:
	// nil where there are none or they do not parse.
	Labels labels.Requirements
	Fields fields.Requirements
}

// GroupVersion of the resource asked for.
func (i *Info) GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: i.Group, Version: i.Version}
}

// GroupVersionResource of the resource asked for.
func (i *Info) GroupVersionResource() schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: i.Group, Version: i.Version, Resource: i.Resource}
}

// ProfilePath is where profiles of the process are served.
const ProfilePath = "/debug/pprof"

// LongRunning reports whether the request may take as long as it likes: it has
// no deadline and does not count as being in flight.
func (i *Info) LongRunning() bool {
	if !i.IsResource {
		return strings.HasPrefix(i.Path, ProfilePath+"/")
	}
	if i.Verb == "watch" {
		return true
	}
	switch i.Subresource {
	case "proxy", "attach", "exec", "portforward", "log":
		return true
	}
	return false
}

// ReadOnly reports whether the request only reads.
func (i *Info) ReadOnly() bool {
	switch i.Verb {
	case "get", "list", "watch", "head", "options":
		return true
	}
	return false
}

// PathError is returned for a path that no API request has.
type PathError struct {
	part, name string
	why        []string
}

func (e *PathError) Error() string {
	return fmt.Sprintf("%s parameter invalid: %q: %s", e.part, e.name, strings.Join(e.why, ", "))
}

// checkPart reports a part of the path that cannot be a segment of a storage
// key.
func checkPart(part, name string) error {
	why := path.IsValidPathSegmentName(name)
	if strings.Contains(name, "\\") {
		why = append(why, `may not contain '\'`)
	}
	if len(why) > 0 {
		return &PathError{part, name, why}
	}
	return nil
}

// Parse reads a request's method, decoded path and raw query. A resource path
// whose namespace or name could escape its place ("..", an encoded slash) is a
// *PathError.
func Parse(method, urlPath, rawQuery string) (Info, error) {
	info := Info{Path: urlPath, Verb: strings.ToLower(method)}

	rest, ok := "", false
	if rest, ok = strings.CutPrefix(urlPath, "/api/"); ok {
		info.Version, rest = cut(rest)
	} else if rest, ok = strings.CutPrefix(urlPath, "/apis/"); ok {
		info.Group, rest = cut(rest)
		info.Version, rest = cut(rest)
	}
	if !ok || rest == "" || info.Version == "" {
		return Info{Path: urlPath, Verb: info.Verb}, nil
	}
	info.Verb = verbOf(method)
	if w, ok := strings.CutPrefix(rest, "watch/"); ok && method == "GET" {
		info.LegacyWatch, rest = true, w
	}
	if err := info.parts(rest); err != nil {
		return Info{Path: urlPath, Verb: strings.ToLower(method)}, err
	}
	if info.Resource == "" {
		return Info{Path: urlPath, Verb: strings.ToLower(method)}, nil
	}
	info.IsResource = true
	info.collection(rawQuery)
	return info, nil
}

func verbOf(method string) string {
	switch method {
	case "GET", "HEAD":
		return "get"
	case "POST":
		return "create"
	case "PUT":
		return "update"
	case "PATCH":
		return "patch"
	case "DELETE":
		return "delete"
	}
	return ""
}

// parts reads [namespaces/NS/]resource[/name[/subresource[/rest]]].
func (i *Info) parts(s string) error {
	i.Resource, s = cut(s)
	if i.Resource == "namespaces" && s != "" {
		name, after := cut(s)
		if err := checkPart("Namespace", name); err != nil {
			return err
		}
		i.Namespace = name
		sub, _ := cut(after)
		switch {
		case sub == "" || sub == "status" || sub == "finalize":
			// The namespace itself is the object, and lies in itself.
			i.Name, i.Subresource = name, sub
			return nil
		}
		i.Resource, s = cut(after)
	}
	i.Name, s = cut(s)
	if err := checkPart("Name", i.Name); err != nil {
		return err
	}
	i.Subresource, _ = cut(s)
	i.Rest = s[min(len(i.Subresource), len(s)):]
	if err := checkPart("Subresource", i.Subresource); err != nil {
		return err
	}
	return checkPart("Resource", i.Resource)
}

// collection settles whether a request without a name is a list, a watch or a
// deletecollection, and reads the selectors that authorization may look at.
func (i *Info) collection(rawQuery string) {
	if i.LegacyWatch {
		i.Verb = "watch"
		return
	}
	if i.Name != "" {
		// A watch of one object by its path is an old form of the selector.
		return
	}
	switch i.Verb {
	case "get":
		i.Verb = "list"
	case "delete":
		i.Verb = "deletecollection"
	default:
		return
	}
	if rawQuery == "" {
		return
	}
	q, err := url.ParseQuery(rawQuery)
	if err != nil {
		return
	}
	if i.Verb == "list" && IsTrue(q, "watch") {
		i.Verb = "watch"
	}
	if s := q.Get("fieldSelector"); s != "" {
		if sel, err := fields.ParseSelector(s); err == nil {
			i.Fields = sel.Requirements()
			if name, ok := sel.RequiresExactMatch("metadata.name"); ok && len(path.IsValidPathSegmentName(name)) == 0 && name != "" {
				i.Name, i.NameFromSelector = name, true
			}
		}
	}
	if s := q.Get("labelSelector"); s != "" {
		if sel, err := labels.Parse(s); err == nil {
			i.Labels, _ = sel.Requirements()
		}
	}
}

// IsTrue reads a boolean query parameter as upstream does: present and empty
// means true, and so does everything but "0" and "false".
func IsTrue(q url.Values, key string) bool {
	v, ok := q[key]
	if !ok || len(v) == 0 {
		return false
	}
	switch strings.ToLower(v[0]) {
	case "false", "0":
		return false
	}
	return true
}

// cut splits at the first slash.
func cut(s string) (head, tail string) {
	head, tail, _ = strings.Cut(s, "/")
	return head, tail
}
