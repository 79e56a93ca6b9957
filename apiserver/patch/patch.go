package patch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"sync"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/mergepatch"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"

	"proa/apiserver/codec"
)

const (
	// MaxOperations in one JSON patch.
	MaxOperations = 10000
	// MaxCopied is how many bytes the copy operations of one JSON patch may
	// add to a document; without it, thirty of them make a gigabyte.
	MaxCopied = 3 << 20
)

// limitCopies sets the library's bound, which it keeps in a variable.
var limitCopies = sync.OnceFunc(func() { jsonpatch.AccumulatedCopySizeLimit = MaxCopied })

// operation of a JSON patch; its name shows in errors.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	From  string `json:"from"`
	Value any    `json:"value"`
}

// JSON applies a JSON patch to a document. Strict errors are fields that no
// operation has; they are warnings or not, as the caller decides.
func JSON(doc, patch []byte, v codec.Validation) (patched []byte, strict []error, err error) {
	limitCopies()
	if err := codec.CheckDepth(patch); err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if v != codec.Ignore {
		var ops []operation
		strict, err = kjson.UnmarshalStrict(patch, &ops)
		if err != nil {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
		for i, e := range strict {
			strict[i] = fmt.Errorf("json patch %w", e)
		}
	}
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if len(p) > MaxOperations {
		return nil, nil, apierrors.NewRequestEntityTooLargeError(
			fmt.Sprintf("The allowed maximum operations in a JSON patch is %d, got %d", MaxOperations, len(p)))
	}
	patched, err = apply(p, doc)
	if err != nil {
		return nil, nil, unprocessable(err)
	}
	return patched, strict, nil
}

// Patch is a parsed JSON patch that does not come from the client.
type Patch struct{ jsonpatch.Patch }

// Parse reads a JSON patch, within the limits of those of clients.
func Parse(patch []byte) (Patch, error) {
	if err := codec.CheckDepth(patch); err != nil {
		return Patch{}, err
	}
	p, err := jsonpatch.DecodePatch(patch)
	if err == nil && len(p) > MaxOperations {
		err = fmt.Errorf("the allowed maximum operations in a JSON patch is %d, got %d", MaxOperations, len(p))
	}
	return Patch{p}, err
}

// Apply applies the patch to a document.
func (p Patch) Apply(doc []byte) ([]byte, error) {
	limitCopies()
	return apply(p.Patch, doc)
}

// apply guards against the library, which panics on some operations without a
// path or value.
func apply(p jsonpatch.Patch, doc []byte) (out []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			out, err = nil, fmt.Errorf("patch cannot be applied: %v", r)
		}
	}()
	return p.Apply(doc)
}

func unprocessable(err error) error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
}

// Decode reads a patched document into an empty object of the patched kind.
// It returns warnings under codec.Warn.
func Decode(doc []byte, strict []error, into runtime.Object, v codec.Validation) ([]string, error) {
	more, err := codec.Unmarshal(doc, into, v)
	if err != nil {
		return nil, invalid(string(doc), err)
	}
	strict = append(strict, more...)
	if len(strict) == 0 {
		return nil, nil
	}
	if v == codec.Strict {
		return nil, invalid(string(doc), runtime.NewStrictDecodingError(strict))
	}
	return codec.StrictWarnings(strict), nil
}

func invalid(value any, err error) error {
	return apierrors.NewInvalid(schema.GroupKind{}, "", field.ErrorList{
		field.Invalid(field.NewPath("patch"), value, err.Error()),
	})
}

// Strategic applies a strategic merge patch to current, and returns a new
// object of the same type.
func Strategic(current runtime.Object, patch []byte, v codec.Validation) (runtime.Object, []string, error) {
	changes, strict, err := decodeChanges(patch, v)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	part, partial := Part(current, changes)
	if !partial {
		part = current
	}
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(part)
	if err != nil {
		return nil, nil, err
	}
	into := empty(current)
	patched, err := strategicpatch.StrategicMergeMapPatch(doc, changes, into)
	if err != nil {
		return nil, nil, strategicError(err)
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(patched, into, v != codec.Ignore)
	if err != nil {
		more, ok := runtime.AsStrictDecodingError(err)
		if !ok {
			return nil, nil, invalid(fmt.Sprintf("%+v", changes), err)
		}
		strict = append(strict, more.Errors()...)
	}
	if len(strict) > 0 && v == codec.Strict {
		return nil, nil, invalid(fmt.Sprintf("%+v", changes), runtime.NewStrictDecodingError(strict))
	}
	if partial {
		into = Join(current, into, changes)
	}
	return into, codec.StrictWarnings(strict), nil
}

// JSONObject applies a JSON patch to current, and returns a new object of the
// same type.
func JSONObject(current runtime.Object, patch []byte, v codec.Validation) (runtime.Object, []string, error) {
	changes, partial := touched(patch)
	part := current
	if partial {
		if part, partial = Part(current, changes); !partial {
			part = current
		}
	}
	doc, err := json.Marshal(part)
	if err != nil {
		return nil, nil, err
	}
	patched, strict, err := JSON(doc, patch, v)
	if err != nil {
		return nil, nil, err
	}
	into := empty(current)
	warnings, err := Decode(patched, strict, into, v)
	if err != nil {
		return nil, nil, err
	}
	if partial {
		into = Join(current, into, changes)
	}
	return into, warnings, nil
}

// touched lists the top-level fields that the operations of a JSON patch name,
// and reports false where they may concern the whole.
func touched(patch []byte) (map[string]any, bool) {
	if codec.CheckDepth(patch) != nil {
		return nil, false
	}
	var ops []struct {
		Path string  `json:"path"`
		From *string `json:"from"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(patch, &ops); err != nil {
		return nil, false
	}
	out := map[string]any{}
	add := func(path string) bool {
		rest, ok := strings.CutPrefix(path, "/")
		if !ok {
			return false
		}
		name, below, _ := strings.Cut(rest, "/")
		if name == "" || strings.Contains(name, "~") || (name == "metadata" && (below == "" || strings.HasPrefix(below, "managedFields"))) {
			return false
		}
		out[name] = map[string]any{}
		return true
	}
	for _, op := range ops {
		if !add(op.Path) || (op.From != nil && !add(*op.From)) {
			return nil, false
		}
	}
	return out, true
}

// decodeChanges reads a patch that has the form of an object.
func decodeChanges(patch []byte, v codec.Validation) (changes map[string]any, strict []error, err error) {
	if err := codec.CheckDepth(patch); err != nil {
		return nil, nil, err
	}
	changes = map[string]any{}
	if v == codec.Ignore {
		err = kjson.UnmarshalCaseSensitivePreserveInts(patch, &changes)
	} else {
		strict, err = kjson.UnmarshalStrict(patch, &changes)
	}
	return changes, strict, err
}

// MergeObject applies a JSON merge patch to current, and returns a new object
// of the same type.
func MergeObject(current runtime.Object, patch []byte, v codec.Validation) (runtime.Object, []string, error) {
	changes, strict, err := decodeChanges(patch, v)
	if err != nil {
		return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
	}
	part, partial := Part(current, changes)
	if !partial {
		part = current
	}
	doc, err := json.Marshal(part)
	if err != nil {
		return nil, nil, err
	}
	patched, err := jsonpatch.MergePatch(doc, patch)
	if errors.Is(err, jsonpatch.ErrBadJSONPatch) {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if err != nil {
		return nil, nil, err
	}
	into := empty(current)
	warnings, err := Decode(patched, strict, into, v)
	if err != nil {
		return nil, nil, err
	}
	if partial {
		into = Join(current, into, changes)
	}
	return into, warnings, nil
}

func strategicError(err error) error {
	switch {
	case errors.Is(err, mergepatch.ErrBadJSONDoc), errors.Is(err, mergepatch.ErrBadPatchFormatForPrimitiveList),
		errors.Is(err, mergepatch.ErrBadPatchFormatForRetainKeys), errors.Is(err, mergepatch.ErrBadPatchFormatForSetElementOrderList),
		errors.Is(err, mergepatch.ErrUnsupportedStrategicMergePatchFormat):
		return apierrors.NewBadRequest(err.Error())
	case errors.Is(err, mergepatch.ErrNoListOfLists):
		return unprocessable(err)
	}
	// Upstream calls it an error of its own, without a reason.
	return err
}

// empty is an empty object of the same kind.
func empty(obj runtime.Object) runtime.Object {
	if d, ok := obj.(interface{ NewEmpty() runtime.Object }); ok {
		return d.NewEmpty()
	}
	return reflect.New(reflect.TypeOf(obj).Elem()).Interface().(runtime.Object)
}
