package rest

import (
	"net/http"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"proa/admission"
	"proa/apiserver/codec"
	"proa/apiserver/connect"
	"proa/apiserver/negotiate"
	"proa/apiserver/request"
	"proa/resource"
)

// serveConnect hands a request to the function that answers it.
func (a *API) serveConnect(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	d := c.Match.Definition
	h, ok := a.Connects[connect.Key{Group: d.Storage.Group, Resource: d.Plural, Subresource: c.Subresource}]
	if !ok {
		return ErrPath
	}
	verbs := d.Verbs
	if c.Subresource != "" {
		i := slices.IndexFunc(d.Connects, func(k resource.Connect) bool { return k.Name == c.Subresource })
		if i < 0 {
			return ErrPath
		}
		verbs = d.Connects[i].Verbs
	}
	// A proxy passes every method on. OPTIONS has no verb, so that only who may
	// do everything with a resource may ask for it.
	if !slices.Contains(verbs, c.Verb) && (c.Subresource != "proxy" || r.Method != http.MethodOptions) {
		return ErrMethod
	}
	if h.Stream != nil {
		return a.serveStream(w, r, c, h)
	}
	return a.serveAnswer(w, r, c, h)
}

func (a *API) serveStream(w http.ResponseWriter, r *http.Request, c *request.Call, h connect.Handler) error {
	if c.Subresource != "log" && c.Query.Has("dryRun") {
		return apierrors.NewBadRequest("dryRun is not supported")
	}
	s := &connect.Stream{Call: c}
	if h.Options != nil {
		o, err := h.Options(c.Query)
		if err != nil {
			return badRequest(err)
		}
		s.Options = o
	}
	if c.Subresource != "log" {
		at := attributes(c, admission.Connect, false)
		at.Object = s.Options
		if err := a.admit(r.Context(), a.Admission.Mutate, at); err != nil {
			return err
		}
		if err := a.admit(r.Context(), a.Admission.Validate, at); err != nil {
			return err
		}
	}
	begin(w, c)
	return h.Stream(w, r, s)
}

func badRequest(err error) error {
	if _, ok := err.(apierrors.APIStatus); ok {
		return err
	}
	return apierrors.NewBadRequest(err.Error())
}

func (a *API) serveAnswer(w http.ResponseWriter, r *http.Request, c *request.Call, h connect.Handler) error {
	accepted, err := negotiate.Accept(r, untabled)
	if err != nil {
		return err
	}
	o, err := createOptions(c.Query)
	if err != nil {
		return err
	}
	f, err := negotiate.Body(r, negotiate.Allowed{})
	if err != nil {
		return err
	}
	b, err := body(r)
	if err != nil {
		return err
	}
	virtual := c.Match.Virtual && h.New == nil
	kind := h.Kind
	var obj runtime.Object
	if virtual {
		obj, kind = c.Match.Served.New(), c.Match.Served.GroupVersionKind()
	} else {
		obj = h.New()
	}
	warnings, err := codec.Decode(f, b, obj, kind, validationOf(o.FieldValidation), a.known)
	if err != nil {
		return err
	}
	for _, t := range warnings {
		c.Warn(t)
	}
	if h.Default != nil {
		h.Default(obj)
	}
	auditRequest(c, obj)
	if m, ok := obj.(resource.Object); ok {
		if err := a.completeBody(c, m, virtual); err != nil {
			return err
		}
	}
	at := attributes(c, admission.Create, isDryRun(o.DryRun))
	at.Object, at.Options = obj, o
	if err := a.admit(r.Context(), a.Admission.Mutate, at); err != nil {
		return err
	}
	validate := func(obj runtime.Object) error {
		at.Object = obj
		return a.admit(r.Context(), a.Admission.Validate, at)
	}
	if !h.Validates {
		if err := validate(obj); err != nil {
			return err
		}
	}
	out, err := h.Answer(r.Context(), &connect.Input{Call: c, Object: obj, DryRun: isDryRun(o.DryRun), Validate: validate})
	if err != nil {
		return err
	}
	if s, ok := out.(*metav1.Status); ok {
		if s.Code == 0 {
			s.Code = http.StatusCreated
		}
	} else if out.GetObjectKind().GroupVersionKind().Empty() {
		out.GetObjectKind().SetGroupVersionKind(kind)
	}
	return a.answer(w, r, c, accepted, http.StatusCreated, out)
}

// completeBody settles the metadata of a body, and checks that of a virtual
// resource, which no handler has to do.
func (a *API) completeBody(c *request.Call, obj resource.Object, virtual bool) error {
	wipe(obj)
	if err := placeInNamespace(c, obj); err != nil {
		return err
	}
	if !virtual {
		if obj.GetName() == "" {
			obj.SetName(c.Name)
		}
		return nil
	}
	c.Match.Served.Default(obj)
	return invalid(c.Match.Definition, obj, c.Match.Validate(obj))
}
