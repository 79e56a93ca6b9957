package patch

import (
	"errors"
	"fmt"
	"net/http"
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

// JSON applies a JSON patch to a document. Strict errors are fields that no
// operation has; they are warnings or not, as the caller decides.
func JSON(doc, patch []byte, v codec.Validation) (patched []byte, strict []error, err error) {
	limitCopies()
	if err := codec.CheckDepth(patch); err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if v != codec.Ignore {
		var ops []struct {
			Op    string `json:"op"`
			Path  string `json:"path"`
			From  string `json:"from"`
			Value any    `json:"value"`
		}
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

// Merge applies a JSON merge patch to a document.
func Merge(doc, patch []byte, v codec.Validation) (patched []byte, strict []error, err error) {
	if err := codec.CheckDepth(patch); err != nil {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	if v != codec.Ignore {
		m := map[string]any{}
		strict, err = kjson.UnmarshalStrict(patch, &m)
		if err != nil {
			return nil, nil, apierrors.NewBadRequest(fmt.Sprintf("error decoding patch: %v", err))
		}
	}
	patched, err = jsonpatch.MergePatch(doc, patch)
	if errors.Is(err, jsonpatch.ErrBadJSONPatch) {
		return nil, nil, apierrors.NewBadRequest(err.Error())
	}
	return patched, strict, err
}

// Decode reads a patched document into an empty object of the patched kind.
// It returns warnings under codec.Warn.
func Decode(doc []byte, strict []error, into runtime.Object, v codec.Validation) ([]string, error) {
	var err error
	if v == codec.Ignore {
		err = kjson.UnmarshalCaseSensitivePreserveInts(doc, into)
	} else {
		var more []error
		more, err = kjson.UnmarshalStrict(doc, into)
		strict = append(strict, more...)
	}
	if err != nil {
		return nil, invalid(string(doc), err)
	}
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

// Strategic applies a strategic merge patch to current and writes the result
// into into, an empty object of the same type.
func Strategic(current runtime.Object, patch []byte, into runtime.Object, v codec.Validation) ([]string, error) {
	if err := codec.CheckDepth(patch); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	changes := map[string]any{}
	var strict []error
	var err error
	if v == codec.Ignore {
		err = kjson.UnmarshalCaseSensitivePreserveInts(patch, &changes)
	} else {
		strict, err = kjson.UnmarshalStrict(patch, &changes)
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	doc, err := runtime.DefaultUnstructuredConverter.ToUnstructured(current)
	if err != nil {
		return nil, err
	}
	patched, err := strategicpatch.StrategicMergeMapPatch(doc, changes, into)
	if err != nil {
		return nil, strategicError(err)
	}
	err = runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(patched, into, v != codec.Ignore)
	if err != nil {
		more, ok := runtime.AsStrictDecodingError(err)
		if !ok {
			return nil, invalid(fmt.Sprintf("%+v", changes), err)
		}
		strict = append(strict, more.Errors()...)
	}
	if len(strict) == 0 {
		return nil, nil
	}
	if v == codec.Strict {
		return nil, invalid(fmt.Sprintf("%+v", changes), runtime.NewStrictDecodingError(strict))
	}
	return codec.StrictWarnings(strict), nil
}

func strategicError(err error) error {
	switch {
	case errors.Is(err, mergepatch.ErrBadJSONDoc), errors.Is(err, mergepatch.ErrBadPatchFormatForPrimitiveList),
		errors.Is(err, mergepatch.ErrBadPatchFormatForRetainKeys), errors.Is(err, mergepatch.ErrBadPatchFormatForSetElementOrderList),
		errors.Is(err, mergepatch.ErrUnsupportedStrategicMergePatchFormat):
		return apierrors.NewBadRequest(err.Error())
	}
	return unprocessable(err)
}
