package negotiate

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/apiserver/codec"
)

// As is a conversion of the response.
type As int

// The conversions. Plain sends the objects as they are.
const (
	Plain As = iota
	Table
	Partial
	PartialList
)

// Output is the form of a response.
type Output struct {
	Format codec.Format
	// As and the version of meta.k8s.io (v1 or v1beta1) to convert to.
	As      As
	Version string
	Pretty  bool
	// Stream: the client asked for the streaming form of the media type.
	Stream bool
}

// ContentType of a response that is not a stream.
func (o Output) ContentType() string { return o.Format.MediaType() }

// StreamContentType is that of a watch.
func (o Output) StreamContentType() string {
	if o.Format == codec.Protobuf {
		return "application/vnd.kubernetes.protobuf;stream=watch"
	}
	return o.Format.MediaType()
}

// Allowed says which conversions a handler offers.
type Allowed struct {
	Table, Partial bool
	// JSONOnly: objects have no protobuf form (custom resources). Conversions
	// have one.
	JSONOnly bool
}

// supported in upstream's order of preference.
var supported = [...]codec.Format{codec.JSON, codec.YAML, codec.Protobuf}

// Supported lists the media types in upstream's order.
const Supported = "application/json, application/yaml, application/vnd.kubernetes.protobuf"

// Accept chooses the form of the response to r, or returns a 406 status error.
func Accept(r *http.Request, allowed Allowed) (Output, error) {
	out, ok := accept(r.Header.Get("Accept"), allowed)
	if !ok {
		message := "only the following media types are accepted: " + Supported
		if !named(r.Header.Get("Accept")) {
			message = "406: Not Acceptable\n\nAvailable representations: " + Supported
		}
		return Output{}, &StatusError{metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable, Message: message,
		}}
	}
	if out.Format == codec.JSON && !out.Pretty {
		out.Pretty = pretty(r)
	}
	return out, nil
}

func accept(header string, allowed Allowed) (Output, bool) {
	// What most clients send, without parsing.
	switch header {
	case "", "application/json", "*/*", "application/json, */*":
		return Output{Format: codec.JSON}, true
	case "application/vnd.kubernetes.protobuf", "application/vnd.kubernetes.protobuf,application/json":
		if !allowed.JSONOnly {
			return Output{Format: codec.Protobuf}, true
		}
	}
	for _, c := range clauses(header) {
		for _, f := range supported {
			if !c.matches(f) {
				continue
			}
			if out, ok := c.output(f, allowed); ok {
				return out, true
			}
		}
	}
	return Output{}, false
}

// named says whether a header names any of the supported types, be it in a form
// that is not. Upstream has other words for it if not.
func named(header string) bool {
	for _, c := range clauses(header) {
		for _, f := range supported {
			if c.matches(f) {
				return true
			}
		}
	}
	return false
}

// clause is one media range of an Accept header.
type clause struct {
	typ, sub string
	q        float64
	params   map[string]string
}

// clauses parses an Accept header into ranges of descending quality; those of
// one quality stay in order. What cannot be parsed is left out.
func clauses(header string) []clause {
	var out []clause
	for part := range strings.SplitSeq(header, ",") {
		mt, rawParams, _ := strings.Cut(strings.TrimSpace(part), ";")
		typ, sub, ok := strings.Cut(strings.TrimSpace(mt), "/")
		if !ok {
			if mt != "*" {
				continue
			}
			typ, sub = "*", "*"
		}
		c := clause{typ: strings.ToLower(typ), sub: strings.ToLower(sub), q: 1}
		for p := range strings.SplitSeq(rawParams, ";") {
			k, v, ok := strings.Cut(p, "=")
			if !ok {
				continue
			}
			k, v = strings.TrimSpace(k), strings.Trim(strings.TrimSpace(v), `"`)
			if k == "q" {
				if q, err := strconv.ParseFloat(v, 64); err == nil {
					c.q = q
				}
				continue
			}
			if c.params == nil {
				c.params = map[string]string{}
			}
			c.params[k] = v
		}
		out = append(out, c)
	}
	// Insertion sort keeps the order of equals, and headers are short.
	for i := 1; i < len(out); i++ {
		for j := i; j > 0 && out[j].q > out[j-1].q; j-- {
			out[j], out[j-1] = out[j-1], out[j]
		}
	}
	return out
}

func (c clause) matches(f codec.Format) bool {
	if c.typ == "*" && c.sub == "*" {
		return true
	}
	if c.typ != "application" {
		return false
	}
	return c.sub == "*" || "application/"+c.sub == f.MediaType()
}

func (c clause) output(f codec.Format, allowed Allowed) (Output, bool) {
	out := Output{Format: f, Pretty: c.params["pretty"] == "1"}
	if s := c.params["stream"]; s != "" {
		if s != "watch" {
			return Output{}, false
		}
		out.Stream = true
	}
	as, g, v := c.params["as"], c.params["g"], c.params["v"]
	if as == "" && g == "" && v == "" {
		return out, f != codec.Protobuf || !allowed.JSONOnly
	}
	if g != metav1.GroupName || (v != "v1" && v != "v1beta1") {
		return Output{}, false
	}
	out.Version = v
	switch {
	case as == "Table" && allowed.Table && f != codec.Protobuf:
		out.As = Table
	case as == "PartialObjectMetadata" && allowed.Partial:
		out.As = Partial
	case as == "PartialObjectMetadataList" && allowed.Partial:
		out.As = PartialList
	default:
		return Output{}, false
	}
	return out, true
}

// pretty reports whether JSON is to be indented: on request, and for people
// who read it in a terminal or a browser.
func pretty(r *http.Request) bool {
	if strings.Contains(r.URL.RawQuery, "pretty") {
		if p := r.URL.Query().Get("pretty"); p != "" {
			yes, _ := strconv.ParseBool(p)
			return yes
		}
	}
	ua := r.UserAgent()
	return strings.HasPrefix(ua, "curl") || strings.HasPrefix(ua, "Wget") || strings.HasPrefix(ua, "Mozilla/5.0")
}

// Body settles the format of a request body from its Content-Type, or returns
// a 415 status error. JSON is assumed where the client does not say.
func Body(r *http.Request, allowed Allowed) (codec.Format, error) {
	ct := r.Header.Get("Content-Type")
	switch ct {
	case "", "application/json":
		return codec.JSON, nil
	case "application/vnd.kubernetes.protobuf":
		if !allowed.JSONOnly {
			return codec.Protobuf, nil
		}
	}
	if mt, _, err := mime.ParseMediaType(ct); err == nil {
		for _, f := range supported {
			if mt == f.MediaType() && (f != codec.Protobuf || !allowed.JSONOnly) {
				return f, nil
			}
		}
	}
	list := Supported
	if allowed.JSONOnly {
		list = "application/json, application/yaml"
	}
	return 0, Unsupported(list)
}

// Unsupported is the 415 error that lists what is understood.
func Unsupported(list string) error {
	return &StatusError{metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: " + list,
	}}
}

// StatusError is an error with a ready status.
type StatusError struct{ ErrStatus metav1.Status }

// Error is the message of the status.
func (e *StatusError) Error() string { return e.ErrStatus.Message }

// Status is what is sent to the client.
func (e *StatusError) Status() metav1.Status { return e.ErrStatus }
