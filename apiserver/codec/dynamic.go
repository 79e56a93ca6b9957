package codec

import (
	"errors"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// Dynamic is an object of a kind that was defined at run time. It knows itself
// which fields it has.
type Dynamic interface {
	runtime.Object
	metav1.Object
	// DecodeJSON reads the object. With strict, it returns what is unknown or
	// there twice.
	DecodeJSON(js []byte, strict bool) (problems []error, err error)
}

// decodeDynamic is Decode for what has no Go type. The body must name its kind;
// if it is another one, the object is invalid, not unreadable.
func decodeDynamic(f Format, body []byte, into Dynamic, want schema.GroupVersionKind, v Validation) (warnings []string, err error) {
	if f == Protobuf {
		return nil, apierrors.NewBadRequest("protobuf is not a form of custom resources: send JSON or YAML")
	}
	var strict []error
	if f == YAML {
		strict, err = decodeYAML(body, into, v)
	} else {
		strict, err = decodeJSON(body, into, v)
	}
	got := into.GetObjectKind().GroupVersionKind()
	if err != nil {
		var syntax *noKindError
		if runtime.IsMissingKind(err) || errors.As(err, &syntax) {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("the object provided is unrecognized (must be of type %s): %v (%s)", want.Kind, err, summary(body, 30)))
		}
		return nil, unusable(err, body, orElse(kindOf(f, body, got), want), want)
	}
	if len(strict) > 0 && v == Strict {
		return nil, unusable(runtime.NewStrictDecodingError(strict), body, orElse(got, want), want)
	}
	if gv := got.GroupVersion(); gv != want.GroupVersion() {
		return nil, apierrors.NewBadRequest(fmt.Sprintf("the API version in the data (%s) does not match the expected API version (%s)", gv, want.GroupVersion()))
	}
	return StrictWarnings(strict), CheckKind(into, want)
}

// CheckKind compares what an object says that it is with what it must be.
func CheckKind(obj Dynamic, want schema.GroupVersionKind) error {
	got := obj.GetObjectKind().GroupVersionKind()
	var errs field.ErrorList
	if got.Kind != want.Kind {
		errs = append(errs, field.Invalid(field.NewPath("kind"), got.Kind, "must be "+want.Kind))
	}
	if got.GroupVersion() != want.GroupVersion() {
		errs = append(errs, field.Invalid(field.NewPath("apiVersion"), got.GroupVersion().String(), "must be "+want.GroupVersion().String()))
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(got.GroupKind(), obj.GetName(), errs)
}

func orElse(got, want schema.GroupVersionKind) schema.GroupVersionKind {
	if got.Kind == "" {
		got.Kind = want.Kind
	}
	if got.Version == "" {
		got.Group, got.Version = want.Group, want.Version
	}
	return got
}

// Unmarshal reads a document that the server itself has put together into an
// object of any kind. It returns what is unknown or there twice, unless v is
// Ignore.
func Unmarshal(doc []byte, into runtime.Object, v Validation) (problems []error, err error) {
	if d, ok := into.(Dynamic); ok {
		return d.DecodeJSON(doc, v != Ignore)
	}
	if v == Ignore {
		return nil, kjson.UnmarshalCaseSensitivePreserveInts(doc, into)
	}
	return kjson.UnmarshalStrict(doc, into)
}
