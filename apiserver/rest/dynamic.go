package rest

import (
	apierrors "k8s.io/apimachinery/pkg/api/errors"

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
	obj, err := table.Converted(stored, c.Match.Served)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return obj, nil
}

// toStorage is the reverse: the object as it is to be stored.
func toStorage(d *resource.Definition, obj resource.Object) (resource.Object, error) {
	if d.Dynamic == nil {
		return obj, nil
	}
	stored, err := d.Dynamic.ToStorage(obj)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return stored, nil
}
