package auth

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Forbidden is the refusal of a request, in upstream's words.
func Forbidden(at *Attributes, reason string) error {
	text := sanitize.Replace(Refusal(at))
	if reason != "" {
		text += ": " + reason
	}
	gr := schema.GroupResource{Group: at.Group, Resource: at.Resource}
	return apierrors.NewForbidden(gr, at.Name, errors.New(text))
}

// sanitize keeps what a caller chose from being read as HTML.
var sanitize = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// Refusal says who cannot do what.
func Refusal(at *Attributes) string {
	user := ""
	if at.User != nil {
		user = at.User.Name
	}
	if !at.IsResource {
		return fmt.Sprintf("User %q cannot %s path %q", user, at.Verb, at.Path)
	}
	res := at.Resource
	if at.Subresource != "" {
		res += "/" + at.Subresource
	}
	text := fmt.Sprintf("User %q cannot %s resource %q in API group %q", user, at.Verb, res, at.Group)
	if at.Namespace != "" {
		return text + fmt.Sprintf(" in the namespace %q", at.Namespace)
	}
	return text + " at the cluster scope"
}
