package custom

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/jsonpath"

	"proa/resource"
	print "proa/resource/columns"
)

// columns are the printer columns of a version.
type columns struct {
	headers []metav1.TableColumnDefinition
	// paths of the columns after the name.
	paths []*jsonpath.JSONPath
}

// createdAt is what a version without columns shows beside the name.
const createdAt = ".metadata.creationTimestamp"

// compileColumns parses columns; from the first that cannot be on, none is
// printed.
func compileColumns(defined []apiextensionsv1.CustomResourceColumnDefinition) *columns {
	if len(defined) == 0 {
		defined = []apiextensionsv1.CustomResourceColumnDefinition{{
			Name: "Age", Type: "date", Description: metav1.ObjectMeta{}.SwaggerDoc()["creationTimestamp"], JSONPath: createdAt,
		}}
	}
	c := &columns{headers: []metav1.TableColumnDefinition{print.Name()}}
	for _, d := range defined {
		p := jsonpath.New(d.Name)
		if err := p.Parse("{" + d.JSONPath + "}"); err != nil {
			break
		}
		p.AllowMissingKeys(true)
		text := d.Description
		if text == "" {
			text = "Custom resource definition column (in JSONPath format): " + d.JSONPath
		}
		c.paths = append(c.paths, p)
		c.headers = append(c.headers, metav1.TableColumnDefinition{
			Name: d.Name, Type: d.Type, Format: d.Format, Description: text, Priority: d.Priority,
		})
	}
	return c
}

// cells prints an object.
func (c *columns) cells(o *Object, now time.Time) []any {
	out := make([]any, 1, len(c.headers))
	out[0] = o.Name
	content := o.typedContent()
	for i, p := range c.paths {
		out = append(out, cell(p, c.headers[i+1].Type, content, now))
	}
	return out
}

func cell(p *jsonpath.JSONPath, typ string, content map[string]any, now time.Time) any {
	own := *p // it keeps state while it evaluates
	results, err := own.FindResults(content)
	if err != nil || len(results) == 0 || len(results[0]) == 0 {
		return nil
	}
	value := results[0][0].Interface()
	if typ == "string" {
		var b bytes.Buffer
		if err := own.PrintResults(&b, []reflect.Value{reflect.ValueOf(value)}); err != nil {
			return nil
		}
		return b.String()
	}
	return typedCell(typ, value, now)
}

// typedCell is a value as its column's type prints it, or nil where it has
// another type.
func typedCell(typ string, value any, now time.Time) any {
	switch v := value.(type) {
	case int64:
		switch typ {
		case "integer":
			return v
		case "number":
			return float64(v)
		}
	case float64:
		switch typ {
		case "integer":
			return int64(v)
		case "number":
			return v
		}
	case bool:
		if typ == "boolean" {
			return v
		}
	case string:
		if typ == "date" {
			var t metav1.Time
			if err := t.UnmarshalQueryParameter(v); err != nil {
				return "<invalid>"
			}
			return print.Since(t, now)
		}
	}
	return nil
}

// selectable is a field by which objects can be selected.
type selectable struct {
	name string
	path *jsonpath.JSONPath
}

func compileSelectable(fields []apiextensionsv1.SelectableField) []selectable {
	var out []selectable
	for _, f := range fields {
		p := jsonpath.New("selectableField")
		p.AllowMissingKeys(true)
		if err := p.Parse("{" + f.JSONPath + "}"); err != nil {
			continue // the CRD's validation has seen to it
		}
		out = append(out, selectable{strings.TrimPrefix(f.JSONPath, "."), p})
	}
	return out
}

// fieldsOf are the selectable fields of an object in this version.
func (v *Version) fieldsOf(obj resource.Object) map[string]string {
	paths := v.selectable()
	if len(paths) == 0 {
		return nil
	}
	out := make(map[string]string, len(paths))
	o, err := v.of(obj)
	if err != nil {
		o = v.New() // what cannot be converted is selected by nothing
	}
	content := o.UnstructuredContent()
	for _, f := range paths {
		out[f.name] = ""
		path := *f.path // it keeps state while it evaluates
		results, err := path.FindResults(content)
		if err != nil || len(results) != 1 || len(results[0]) != 1 {
			continue
		}
		if value := results[0][0].Interface(); value != nil {
			out[f.name] = fmt.Sprint(value)
		}
	}
	return out
}
