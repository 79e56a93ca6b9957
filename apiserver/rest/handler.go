package rest

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/apiserver/codec"
	"proa/apiserver/managed"
	"proa/apiserver/negotiate"
	"proa/apiserver/request"
	"proa/apiserver/respond"
	"proa/apiserver/table"
	"proa/resource"
)

// MaxBody is the size in bytes of the largest request body.
const MaxBody = 3 << 20

var (
	// transforms are those of resources.
	transforms = negotiate.Allowed{Table: true, Partial: true}
	// untabled are those of what has no columns: answers to reviews and to
	// subresources that are no part of the object.
	untabled = negotiate.Allowed{Partial: true}
)

// Serve answers a request for a resource; the definition has been looked up
// and the caller authorized. What it returns has not been written yet.
func (a *API) Serve(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	d := c.Match.Definition
	var err error
	if r.URL.RawQuery != "" {
		if c.Query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
			return apierrors.NewBadRequest(err.Error())
		}
	}
	if w := c.Match.Served.Deprecated; w != "" {
		c.Warn(w)
	}
	switch {
	case c.Subresource != "":
		return a.serveSubresource(w, r, c)
	case d.Virtual:
		return a.serveConnect(w, r, c)
	case d.Dynamic != nil && misplaced(c):
		return ErrPath
	case !d.Has(c.Verb) || !placed(c):
		return ErrMethod
	}
	switch c.Verb {
	case "get":
		return a.serveGet(w, r, c)
	case "list":
		return a.serveList(w, r, c)
	case "watch":
		return a.serveWatch(w, r, c)
	case "create":
		return a.serveCreate(w, r, c)
	case "update":
		return a.serveUpdate(w, r, c, MainHooks(c.Match))
	case "patch":
		return a.servePatch(w, r, c, MainHooks(c.Match))
	case "delete":
		return a.serveDelete(w, r, c)
	case "deletecollection":
		return a.serveDeleteCollection(w, r, c)
	}
	return ErrMethod
}

// ErrMethod is answered as a router without the route would.
var ErrMethod error = &methodError{}

type methodError struct{}

func (*methodError) Error() string { return "405: Method Not Allowed" }

// placed reports whether the URL has the parts that the verb needs: a name
// where one is created or changed, and a namespace for what lies in one.
func placed(c *request.Call) bool {
	named := c.Name != "" && !c.NameFromSelector
	switch c.Verb {
	case "create":
		if named {
			return false
		}
	case "update", "patch", "delete", "get":
		if !named {
			return false
		}
	}
	d := c.Match.Definition
	if d.ClusterScoped {
		return c.Namespace == "" || d.Plural == "namespaces"
	}
	return c.Namespace != "" || c.Verb == "list" || c.Verb == "watch"
}

// body reads a request body within the limit.
func body(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	if r.ContentLength > MaxBody {
		return nil, apierrors.NewRequestEntityTooLargeError("limit is 3145728")
	}
	var b []byte
	if n := r.ContentLength; n > 0 {
		// Not more than was announced, at first; a client may lie.
		b = make([]byte, 0, min(n+1, 64<<10))
	}
	lr := io.LimitedReader{R: r.Body, N: MaxBody + 1}
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := lr.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		if err == io.EOF {
			break
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, apierrors.NewTimeoutError("request did not complete within the allotted timeout: its body did not arrive", 0)
		}
		if err != nil {
			return nil, apierrors.NewBadRequest("the request body could not be read: " + err.Error())
		}
	}
	if len(b) > MaxBody {
		return nil, apierrors.NewRequestEntityTooLargeError("limit is 3145728")
	}
	return b, nil
}

// decode reads the body as an object of the served version, with defaults.
func (a *API) decode(r *http.Request, c *request.Call, v codec.Validation) (resource.Object, error) {
	f, err := negotiate.Body(r, negotiate.Allowed{})
	if err != nil {
		return nil, err
	}
	b, err := body(r)
	if err != nil {
		return nil, err
	}
	s := c.Match.Served
	obj := s.New()
	warnings, err := codec.Decode(f, b, obj, s.GroupVersionKind(), v, a.known)
	if err != nil {
		return nil, err
	}
	for _, w := range warnings {
		c.Warn(w)
	}
	s.Default(obj)
	auditRequest(c, obj)
	return obj, nil
}

func (a *API) known(gvk schema.GroupVersionKind) bool {
	_, ok := a.Table.View().KindFor(gvk)
	return ok
}

func (a *API) serveGet(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	out, err := accept(r, c)
	if err != nil {
		return err
	}
	e, err := a.Get(r.Context(), c, c.Query.Get("resourceVersion"))
	if err != nil {
		return err
	}
	auditObject(c, e.Object)
	return a.sendEntry(w, r, c, out, http.StatusOK, e)
}

func (a *API) serveList(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	out, err := accept(r, c)
	if err != nil {
		return err
	}
	q, err := listOptions(c, false)
	if err != nil {
		return err
	}
	res, err := a.list(r.Context(), c, q)
	if err != nil {
		return err
	}
	auditList(c, res)
	return a.sendList(w, r, c, out, res)
}

func (a *API) serveCreate(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	out, err := accept(r, c)
	if err != nil {
		return err
	}
	o, err := createOptions(c.Query)
	if err != nil {
		return err
	}
	obj, err := a.decode(r, c, validationOf(o.FieldValidation))
	if err != nil {
		return err
	}
	res, err := a.Create(r.Context(), c, obj, o)
	if err != nil {
		return err
	}
	return a.sendResult(w, r, c, out, http.StatusCreated, res)
}

func (a *API) serveUpdate(w http.ResponseWriter, r *http.Request, c *request.Call, hooks *resource.UpdateHooks) error {
	out, err := accept(r, c)
	if err != nil {
		return err
	}
	o, err := updateOptions(c.Query)
	if err != nil {
		return err
	}
	obj, err := a.decode(r, c, validationOf(o.FieldValidation))
	if err != nil {
		return err
	}
	if err := placeInNamespace(c, obj); err != nil {
		return err
	}
	if err := checkName(c, obj); err != nil {
		return err
	}
	dedupOwners(c, obj, false)
	d := c.Match.Definition
	manager := managed.Manager(o.FieldManager, c.UserAgent)
	m := Modification{
		Hooks: hooks, CreateMissing: d.CreateOnUpdate && c.Subresource == "", RequireVersion: d.RequireResourceVersion,
		DryRun: isDryRun(o.DryRun), Options: o, CreateOptions: createFrom(o.DryRun, o.FieldManager, o.FieldValidation),
		Change: func(live resource.Object) (resource.Object, error) {
			fresh := obj.DeepCopyObject().(resource.Object)
			return a.tracked(c, live, fresh, manager)
		},
	}
	res, err := a.Modify(r.Context(), c, m)
	if err != nil {
		return err
	}
	return a.sendResult(w, r, c, out, created(res), res)
}

// tracked records who changed what between live, of the stored version, and
// obj, of the served one, and returns obj in the stored version.
func (a *API) tracked(c *request.Call, live, obj resource.Object, manager string) (resource.Object, error) {
	s := c.Match.Served
	if a.Managed != nil {
		before, err := a.served(c, live)
		if err != nil {
			return nil, err
		}
		if err := a.Managed.Update(c.Match, c.Subresource, before, obj, manager, c.Now); err != nil {
			a.Log.Warn("managed fields were not recorded", "err", err)
		}
	}
	stored, err := s.From(obj)
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return stored, nil
}

// served returns live, or an empty object where there is none, in the served
// version and with its kind. It shares memory with live.
func (a *API) served(c *request.Call, live resource.Object) (resource.Object, error) {
	s := c.Match.Served
	if live == nil {
		empty := s.New()
		empty.GetObjectKind().SetGroupVersionKind(s.GroupVersionKind())
		return empty, nil
	}
	obj, err := table.Converted(live, s)
	if err != nil {
		return nil, err
	}
	return table.Typed(obj, s.GroupVersionKind()), nil
}

func createFrom(dryRun []string, manager, validation string) *metav1.CreateOptions {
	return &metav1.CreateOptions{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "CreateOptions"},
		DryRun:   dryRun, FieldManager: manager, FieldValidation: validation,
	}
}

func created(res *Result) int {
	if res.Created {
		return http.StatusCreated
	}
	return http.StatusOK
}

func (a *API) readDeleteOptions(r *http.Request, c *request.Call) (*metav1.DeleteOptions, error) {
	b, err := body(r)
	if err != nil {
		return nil, err
	}
	f := codec.JSON
	if len(b) > 0 {
		if f, err = negotiate.Body(r, negotiate.Allowed{}); err != nil {
			return nil, err
		}
	}
	o, err := deleteOptions(f, b, c.Query)
	if err == nil {
		auditRequest(c, o)
	}
	return o, err
}

func (a *API) serveDelete(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	out, err := accept(r, c)
	if err != nil {
		return err
	}
	o, err := a.readDeleteOptions(r, c)
	if err != nil {
		return err
	}
	res, removed, err := a.Delete(r.Context(), c, o)
	if err != nil {
		return err
	}
	code := http.StatusOK
	if !removed && o.OrphanDependents != nil && !*o.OrphanDependents {
		code = http.StatusAccepted
	}
	return a.sendResult(w, r, c, out, code, res)
}

func (a *API) serveDeleteCollection(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	out, err := accept(r, c)
	if err != nil {
		return err
	}
	q, err := listOptions(c, false)
	if err != nil {
		return err
	}
	o, err := a.readDeleteOptions(r, c)
	if err != nil {
		return err
	}
	res, err := a.DeleteCollection(r.Context(), c, q, o)
	if err != nil {
		return err
	}
	auditList(c, res)
	return a.sendList(w, r, c, out, res)
}

// serveSubresource finds what answers below an object.
func (a *API) serveSubresource(w http.ResponseWriter, r *http.Request, c *request.Call) error {
	d, s := c.Match.Definition, c.Match.Served
	if c.Name == "" {
		return ErrMethod
	}
	if d.ClusterScoped != (c.Namespace == "") && d.Plural != "namespaces" {
		return ErrMethod
	}
	if hooks := s.Updates[c.Subresource]; hooks != nil {
		if !slices.Contains(hooks.Verbs, c.Verb) {
			return ErrMethod
		}
		switch c.Verb {
		case "get":
			return a.serveGet(w, r, c)
		case "update":
			return a.serveUpdate(w, r, c, hooks)
		case "patch":
			return a.servePatch(w, r, c, hooks)
		}
		return ErrMethod
	}
	if c.Subresource == "scale" && s.Scale != nil {
		return a.serveScale(w, r, c)
	}
	if d.Dynamic != nil {
		return apierrors.NewNotFound(d.GroupResource(), c.Name)
	}
	return a.serveConnect(w, r, c)
}

// answer writes an object that is no resource of its own.
func (a *API) answer(w http.ResponseWriter, r *http.Request, c *request.Call, out negotiate.Output, code int, obj runtime.Object) error {
	if s, ok := obj.(*metav1.Status); ok {
		if s.Code == 0 {
			s.Code = int32(code)
		}
		auditResponse(c, s)
		begin(w, c)
		respond.Status(w, r, s)
		return nil
	}
	auditResponse(c, obj)
	switch o, ok := obj.(resource.Object); {
	case out.As == negotiate.PartialList:
		return notAList(obj)
	case out.As == negotiate.Partial && ok:
		return a.sendLoose(w, r, c, out, code, o)
	}
	return a.sendObject(w, r, c, out, code, obj, obj.GetObjectKind().GroupVersionKind())
}

// ErrPath is answered as a router without the route would.
var ErrPath error = &pathError{}

type pathError struct{}

func (*pathError) Error() string { return "404 page not found" }
