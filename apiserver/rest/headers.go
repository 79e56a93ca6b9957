package rest

import (
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/apiserver/request"
)

// begin sets the headers that come from the call. It must be called before
// anything is written.
func begin(w http.ResponseWriter, c *request.Call) {
	Warnings(w, c.Warnings())
}

// Warnings sets one Warning header for each text, in the form of RFC 7234,
// within a total of request.MaxWarningBytes.
func Warnings(w http.ResponseWriter, texts []string) {
	size := 0
	for _, t := range texts {
		t = clean(t)
		if size += len(t); size > request.MaxWarningBytes {
			return
		}
		w.Header().Add("Warning", "299 - "+strconv.Quote(t))
	}
}

// clean takes out what a header may not contain.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

func formatRevision(rev int64) string { return strconv.FormatInt(rev, 10) }

func badInclude(v string) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "TableOptions"}, "", field.ErrorList{
		field.Invalid(field.NewPath("includeObject"), v, "must be 'Metadata', 'Object', 'None', or empty"),
	})
}
