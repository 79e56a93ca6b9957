package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"
)

// Validation says what to do about fields that the type does not have.
type Validation string

// The values of the fieldValidation parameter.
const (
	Ignore Validation = "Ignore"
	Warn   Validation = "Warn"
	Strict Validation = "Strict"
)

// MaxDepth bounds the nesting of JSON and YAML bodies. The deepest schema of
// the API (JSONSchemaProps) is used to a few dozen levels; parsers recurse.
const MaxDepth = 1000

// Known tells whether a kind is one that the server knows at all; it only
// decides the wording of an error.
type Known func(schema.GroupVersionKind) bool

// Decode reads body into into, which is of kind want. The body may leave out
// its kind and version, but not contradict them. It returns the problems that
// are warnings under v, and an API status error (400) for a body that cannot
// be used.
func Decode(f Format, body []byte, into runtime.Object, want schema.GroupVersionKind, v Validation, known Known) (warnings []string, err error) {
	if d, ok := into.(Dynamic); ok {
		return decodeDynamic(f, body, d, want, v)
	}
	into.GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{})
	var strict []error
	switch f {
	case Protobuf:
		err = decodeProtobuf(body, into)
	case YAML:
		strict, err = decodeYAML(body, into, v)
	default:
		strict, err = decodeJSON(body, into, v)
	}
	got := into.GetObjectKind().GroupVersionKind()
	if err != nil || (got != want && !got.Empty()) {
		got = kindOf(f, body, got)
	}
	if got.Kind == "" {
		got.Kind = want.Kind
	}
	if got.Version == "" && got.Group == "" {
		got.Group, got.Version = want.Group, want.Version
	}
	if err == nil && got.Kind != want.Kind {
		if known != nil && known(got) {
			err = fmt.Errorf("converting (%s) to (%s): unknown conversion", goName(got), goName(want))
		} else {
			err = notRegistered(got)
		}
	}
	if err == nil && got.GroupVersion() != want.GroupVersion() {
		if known == nil || !known(got) {
			err = notRegistered(got)
		} else {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)", got.GroupVersion(), want.GroupVersion()))
		}
	}
	if err == nil && len(strict) > 0 {
		if v == Strict {
			err = runtime.NewStrictDecodingError(strict)
		} else {
			warnings = StrictWarnings(strict)
		}
	}
	if err != nil {
		return nil, unusable(err, body, got, want)
	}
	into.GetObjectKind().SetGroupVersionKind(want)
	return warnings, nil
}

func notRegistered(gvk schema.GroupVersionKind) error {
	return fmt.Errorf("no kind %q is registered for version %q in scheme \"pkg/api/legacyscheme/scheme.go:30\"", gvk.Kind, gvk.GroupVersion())
}

// goName is how a Go type of the kind would be printed, as upstream's
// conversion errors do.
func goName(gvk schema.GroupVersionKind) string { return "v1." + gvk.Kind }

// errNoKind marks a body whose kind could not even be looked for.
var errNoKind = errors.New("")

// unusable is upstream's 400 for a body that does not decode.
func unusable(err error, body []byte, got, want schema.GroupVersionKind) error {
	var syntax *noKindError
	if errors.As(err, &syntax) {
		return apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v (%s)", want.Kind, syntax.err, summary(body, 30)))
	}
	return apierrors.NewBadRequest(fmt.Sprintf("%s in version %q cannot be handled as a %s: %v", got.Kind, got.Version, want.Kind, err))
}

// noKindError wraps an error that kept even the kind from being read.
type noKindError struct{ err error }

func (e *noKindError) Error() string { return e.err.Error() }
func (e *noKindError) Unwrap() error { return errNoKind }

func summary(data []byte, n int) string {
	switch {
	case len(data) == 0:
		return "<empty>"
	case data[0] == '{':
		if len(data) > n {
			return string(data[:n]) + " ..."
		}
		return string(data)
	case len(data) > n:
		return hex.EncodeToString(data[:n]) + " ..."
	}
	return hex.EncodeToString(data)
}

func decodeJSON(body []byte, into any, v Validation) ([]error, error) {
	if err := CheckDepth(body); err != nil {
		return nil, &noKindError{err}
	}
	if d, ok := into.(Dynamic); ok {
		problems, err := d.DecodeJSON(body, v != Ignore)
		return problems, jsonError(body, err)
	}
	if v == Ignore {
		return nil, jsonError(body, kjson.UnmarshalCaseSensitivePreserveInts(body, into))
	}
	strict, err := kjson.UnmarshalStrict(body, into)
	return strict, jsonError(body, err)
}

// jsonError tells errors of syntax, after which upstream does not know the
// kind, from errors of type.
func jsonError(body []byte, err error) error {
	if err == nil {
		return nil
	}
	var kind struct {
		APIVersion string `json:"apiVersion,omitempty"`
		Kind       string `json:"kind,omitempty"`
	}
	if e := kjson.UnmarshalCaseSensitivePreserveInts(body, &kind); e != nil {
		return &noKindError{fmt.Errorf("couldn't get version/kind; json parse error: %w", e)}
	}
	return err
}

func decodeYAML(body []byte, into any, v Validation) ([]error, error) {
	js, err := YAMLToJSON(body)
	if err != nil {
		return nil, &noKindError{err}
	}
	strict, err := decodeJSON(js, into, v)
	if err == nil && v != Ignore {
		if _, e := yaml.YAMLToJSONStrict(body); e != nil {
			// Duplicates are lost in the conversion; only this pass sees them.
			if _, dynamic := into.(Dynamic); dynamic {
				return append([]error{e}, strict...), nil
			}
			strict = append(strict, e)
		}
	}
	return strict, err
}

// YAMLToJSON converts a YAML document after checking that its nesting is
// bounded. Excessive aliases are refused by the parser.
func YAMLToJSON(body []byte) ([]byte, error) {
	if err := checkYAMLDepth(body); err != nil {
		return nil, err
	}
	return yaml.YAMLToJSON(body)
}

// kindOf finds out the kind that a body claims, for an error message.
func kindOf(f Format, body []byte, decoded schema.GroupVersionKind) schema.GroupVersionKind {
	if f == Protobuf || !decoded.Empty() {
		return decoded
	}
	var kind struct {
		APIVersion string `json:"apiVersion,omitempty"`
		Kind       string `json:"kind,omitempty"`
	}
	if f == YAML {
		js, err := YAMLToJSON(body)
		if err != nil {
			return decoded
		}
		body = js
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(body, &kind) != nil {
		return decoded
	}
	return schema.FromAPIVersionAndKind(kind.APIVersion, kind.Kind)
}

// StrictWarnings puts strict decoding errors into the words of warnings: one
// each, those of the YAML parser without its preamble.
func StrictWarnings(errs []error) []string {
	var out []string
	for _, e := range errs {
		text := e.Error()
		trimmed, found := strings.CutPrefix(text, "error converting YAML to JSON: yaml: unmarshal errors:\n")
		if !found {
			trimmed, found = strings.CutPrefix(text, "yaml: unmarshal errors:\n")
		}
		if !found {
			out = append(out, text)
			continue
		}
		for line := range strings.SplitSeq(trimmed, "\n") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// CheckDepth refuses JSON that is nested deeper than MaxDepth, by one pass
// over the bytes. It does not check the syntax otherwise.
func CheckDepth(js []byte) error {
	// A body that is too short to be too deep needs no look.
	if len(js) <= MaxDepth {
		return nil
	}
	depth, inString := 0, false
	for i := 0; i < len(js); i++ {
		switch c := js[i]; {
		case inString:
			switch c {
			case '\\':
				i++
			case '"':
				inString = false
			}
		case c == '"':
			// Most of a body is strings: skip to the next byte that matters.
			inString = true
			if n := bytes.IndexByte(js[i+1:], '"'); n > 0 && bytes.IndexByte(js[i+1:i+1+n], '\\') < 0 {
				i += n
			}
		case c == '{' || c == '[':
			if depth++; depth > MaxDepth {
				return fmt.Errorf("exceeded max depth of %d", MaxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}

// checkYAMLDepth bounds what nests in YAML: indentation, flow brackets and the
// dashes and question marks that open blocks on one line. It overestimates (it
// does not know strings), within a bound that no honest document comes near.
func checkYAMLDepth(doc []byte) error {
	const most = 10 * MaxDepth
	flow := 0
	for line := range bytes.SplitSeq(doc, []byte("\n")) {
		indent := 0
		for indent < len(line) && (line[indent] == ' ' || line[indent] == '-' || line[indent] == '?' || line[indent] == '\t') {
			indent++
		}
		if indent > most {
			return fmt.Errorf("exceeded max depth of %d", MaxDepth)
		}
		for _, c := range line[indent:] {
			switch c {
			case '{', '[':
				if flow++; flow > most {
					return fmt.Errorf("exceeded max depth of %d", MaxDepth)
				}
			case '}', ']':
				if flow > 0 {
					flow--
				}
			}
		}
	}
	return nil
}

// Loose reads what into has fields for out of a JSON or YAML body, and ignores
// the rest.
func Loose(f Format, body []byte, into any) error {
	if f == YAML {
		js, err := YAMLToJSON(body)
		if err != nil {
			return err
		}
		body = js
	}
	if err := CheckDepth(body); err != nil {
		return err
	}
	return kjson.UnmarshalCaseSensitivePreserveInts(body, into)
}
