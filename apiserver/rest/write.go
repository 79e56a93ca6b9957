package rest

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"

	"proa/apiserver/codec"
	"proa/apiserver/negotiate"
	"proa/apiserver/request"
	"proa/apiserver/respond"
	"proa/apiserver/table"
	"proa/cache"
	"proa/resource"
)

// sendResult writes the outcome of a verb.
func (a *API) sendResult(w http.ResponseWriter, r *http.Request, c *request.Call, out negotiate.Output, code int, res *Result) error {
	if res.Status != nil {
		auditResponse(c, res.Status)
		return a.sendObject(w, r, c, negotiate.Output{Format: out.Format, Pretty: out.Pretty}, code, res.Status, schema.GroupVersionKind{Version: "v1", Kind: "Status"})
	}
	auditObject(c, res.Object)
	e := res.Entry
	if e == nil {
		e = &cache.Entry{Name: res.Object.GetName(), Namespace: res.Object.GetNamespace(), Object: res.Object}
		if out.As == negotiate.Plain {
			obj, err := table.Converted(res.Object, c.Match.Served)
			if err != nil {
				return err
			}
			obj = table.Typed(obj, c.Match.Served.GroupVersionKind())
			return a.sendObject(w, r, c, out, code, obj, c.Match.Served.GroupVersionKind())
		}
		// What was not stored is of nobody else's interest, but its reduced
		// forms are made in the same way.
		return a.sendLoose(w, r, c, out, code, res.Object)
	}
	return a.sendEntry(w, r, c, out, code, e)
}

// sendLoose writes a reduced form of an object that is no entry.
func (a *API) sendLoose(w http.ResponseWriter, r *http.Request, c *request.Call, out negotiate.Output, code int, obj resource.Object) error {
	partial := table.PartialOf(obj, out.Version)
	if out.As == negotiate.Table {
		s := c.Match.Served
		t := metav1.Table{
			TypeMeta:          metav1.TypeMeta{Kind: "Table", APIVersion: "meta.k8s.io/" + out.Version},
			ListMeta:          metav1.ListMeta{ResourceVersion: obj.GetResourceVersion()},
			ColumnDefinitions: s.Columns(),
			Rows:              []metav1.TableRow{{Cells: s.Cells(obj, c.Now.Time), Object: runtime.RawExtension{Object: partial}}},
		}
		return a.sendObject(w, r, c, out, code, &t, t.GroupVersionKind())
	}
	return a.sendObject(w, r, c, out, code, partial, partial.GroupVersionKind())
}

// sendObject encodes an object for this one response.
func (a *API) sendObject(w http.ResponseWriter, r *http.Request, c *request.Call, out negotiate.Output, code int, obj runtime.Object, gvk schema.GroupVersionKind) error {
	buf := codec.Buffer()
	defer codec.Release(buf)
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	var err error
	*buf, err = codec.Append(*buf, out.Format, obj, gvk, out.Pretty)
	if err != nil {
		return err
	}
	begin(w, c)
	respond.Bytes(w, r, code, out.ContentType(), *buf)
	return nil
}

// sendEntry writes one entry from its encodings.
func (a *API) sendEntry(w http.ResponseWriter, r *http.Request, c *request.Call, out negotiate.Output, code int, e *cache.Entry) error {
	buf := codec.Buffer()
	defer codec.Release(buf)
	var err error
	switch {
	case out.As == negotiate.PartialList:
		return notAList(e.Object)
	case out.Format == codec.Protobuf:
		gvk := c.Match.Served.GroupVersionKind()
		var raw []byte
		if out.As == negotiate.Partial {
			gvk = partialKind(out.Version)
			raw, err = table.PartialMessage(e, out.Version)
		} else {
			raw, err = message(nil, e, c.Match.Served)
		}
		if err == nil {
			*buf = codec.AppendHeader(*buf, gvk, len(raw))
			*buf = codec.AppendTrailer(append(*buf, raw...))
		}
	default:
		*buf, err = a.appendEntryJSON(*buf, c, out, e)
		if err == nil {
			*buf, err = finishText(*buf, out)
		}
	}
	if err != nil {
		return err
	}
	begin(w, c)
	respond.Bytes(w, r, code, out.ContentType(), *buf)
	return nil
}

func (a *API) appendEntryJSON(dst []byte, c *request.Call, out negotiate.Output, e *cache.Entry) ([]byte, error) {
	switch out.As {
	case negotiate.Table:
		t, err := tableWriter(c, out)
		if err != nil {
			return dst, err
		}
		return t.Append(dst, metav1.ListMeta{ResourceVersion: e.Object.GetResourceVersion()}, []*cache.Entry{e})
	case negotiate.Partial:
		b, err := table.Partial(e, out.Version)
		return append(dst, b...), err
	}
	b, err := table.JSON(e, c.Match.Served)
	if err != nil {
		return dst, err
	}
	return table.AppendTyped(dst, b, c.Match.Served), nil
}

// finishText turns compact JSON into what the client asked for.
func finishText(js []byte, out negotiate.Output) ([]byte, error) {
	switch {
	case out.Format == codec.YAML:
		return yaml.JSONToYAML(js)
	case out.Pretty:
		b, err := codec.Indent(js)
		return append(b, '\n'), err
	}
	return append(js, '\n'), nil
}

// message appends an entry as a bare protobuf message of a served version. The
// stored bytes serve for the storage version, so nothing is encoded.
func message(dst []byte, e *cache.Entry, s *resource.Served) ([]byte, error) {
	if s.Storage {
		if b, err := e.Protobuf(dst); err == nil {
			return b, nil
		}
	}
	b, err := e.Encoding(cache.EncodingKey{Version: s.GroupVersion.String(), Format: "protobuf"}, func() ([]byte, error) {
		obj, err := table.Converted(e.Object, s)
		if err != nil {
			return nil, err
		}
		m, ok := obj.(codec.Message)
		if !ok {
			return nil, codec.ErrNoProtobuf
		}
		return codec.AppendRaw(nil, m)
	})
	return append(dst, b...), err
}

func partialKind(version string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: metav1.GroupName, Version: version, Kind: "PartialObjectMetadata"}
}

func notAList(obj runtime.Object) error {
	return &negotiate.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: fmt.Sprintf("you requested PartialObjectMetadataList, but the requested object is not a list (%T)", obj),
	}}
}

func notASingle(kind string) error {
	return &negotiate.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: fmt.Sprintf("you requested PartialObjectMetadata, but the requested object is a list (%s)", kind),
	}}
}

func tableWriter(c *request.Call, out negotiate.Output) (*table.Writer, error) {
	t := &table.Writer{Definition: c.Match.Definition, Served: c.Match.Served, Version: out.Version, Now: c.Now.Time}
	switch p := metav1.IncludeObjectPolicy(c.Query.Get("includeObject")); p {
	case "", metav1.IncludeMetadata, metav1.IncludeObject, metav1.IncludeNone:
		t.Include = p
	default:
		return nil, badInclude(string(p))
	}
	return t, nil
}

// sendList writes a list from the encodings of its entries.
func (a *API) sendList(w http.ResponseWriter, r *http.Request, c *request.Call, out negotiate.Output, res cache.ListResult) error {
	if out.As == negotiate.Partial {
		return notASingle(c.Match.Served.ListKind)
	}
	meta := metav1.ListMeta{
		ResourceVersion: formatRevision(res.Revision), Continue: res.Continue, RemainingItemCount: res.Remaining,
	}
	buf := codec.Buffer()
	defer codec.Release(buf)
	var err error
	start := 0
	switch {
	case out.Format == codec.Protobuf:
		*buf, start, err = appendListMessage(*buf, c.Match.Served, out, meta, res.Entries)
	case out.As == negotiate.Table:
		var t *table.Writer
		if t, err = tableWriter(c, out); err == nil {
			*buf, err = t.Append(*buf, meta, res.Entries)
		}
	default:
		*buf, err = appendListJSON(*buf, c.Match, out, meta, res.Entries)
	}
	if err == nil && out.Format != codec.Protobuf {
		*buf, err = finishText(*buf, out)
	}
	if err != nil {
		return err
	}
	begin(w, c)
	respond.Bytes(w, r, http.StatusOK, out.ContentType(), (*buf)[start:])
	return nil
}

func appendListJSON(dst []byte, of resource.Match, out negotiate.Output, meta metav1.ListMeta, entries []*cache.Entry) ([]byte, error) {
	s := of.Served
	kind, version := s.ListKind, s.GroupVersion.String()
	if out.As == negotiate.PartialList {
		kind, version = "PartialObjectMetadataList", "meta.k8s.io/"+out.Version
	}
	size := 256
	for _, e := range entries {
		size += 2 * len(e.Stored())
	}
	dst = slices.Grow(dst, size)
	dst = append(dst, `{"kind":"`...)
	dst = append(dst, kind...)
	dst = append(dst, `","apiVersion":"`...)
	dst = append(dst, version...)
	dst = append(dst, `","metadata":`...)
	m, err := json.Marshal(meta)
	if err != nil {
		return dst, err
	}
	if of.Dynamic != nil && meta.Continue == "" && out.As == negotiate.Plain {
		// As upstream's generic lists have it.
		dst = append(dst, `{"continue":"",`...)
		m = m[1:]
	}
	dst = append(dst, m...)
	dst = append(dst, `,"items":[`...)
	for i, e := range entries {
		if i > 0 {
			dst = append(dst, ',')
		}
		var b []byte
		if out.As == negotiate.PartialList {
			b, err = table.Partial(e, out.Version)
		} else {
			// Items of a typed list do not repeat their kind; those of a dynamic
			// one do.
			b, err = table.JSON(e, s)
		}
		if err != nil {
			return dst, err
		}
		if of.Dynamic != nil && out.As == negotiate.Plain {
			dst = table.AppendTyped(dst, b, s)
			continue
		}
		dst = append(dst, b...)
	}
	return append(dst, "]}"...), nil
}

// appendListMessage writes a list message in its envelope, which begins at
// start. A list is the metadata in field 1 and the items in field 2, for every
// kind.
func appendListMessage(dst []byte, s *resource.Served, out negotiate.Output, meta metav1.ListMeta, entries []*cache.Entry) (list []byte, start int, err error) {
	gvk := s.GroupVersion.WithKind(s.ListKind)
	if out.As == negotiate.PartialList {
		gvk = schema.GroupVersionKind{Group: metav1.GroupName, Version: out.Version, Kind: "PartialObjectMetadataList"}
	}
	// The envelope's header comes first but holds the size of what follows:
	// leave room for it.
	header := len(codec.AppendHeader(nil, gvk, math.MaxInt64))
	size := header + 64
	for _, e := range entries {
		size += len(e.Stored()) + 64
	}
	b := slices.Grow(dst, size)[:len(dst)+header]
	b = binary.AppendUvarint(append(b, 1<<3|2), uint64(meta.Size()))
	if b, err = codec.AppendRaw(b, &meta); err != nil {
		return dst, 0, err
	}
	for _, e := range entries {
		if b, err = appendItem(b, e, s, out); err != nil {
			return dst, 0, err
		}
	}
	head := codec.AppendHeader(nil, gvk, len(b)-len(dst)-header)
	start = len(dst) + header - len(head)
	copy(b[start:], head)
	return codec.AppendTrailer(b), start, nil
}

// appendItem appends one item of a list message.
func appendItem(b []byte, e *cache.Entry, s *resource.Served, out negotiate.Output) ([]byte, error) {
	// The length comes before the item but is known after. Leave room for what
	// it is likely to be, and move the item where that was wrong.
	room := uvarintLen(len(e.Stored()))
	at := len(b)
	b = append(append(b, 2<<3|2), make([]byte, room)...)
	var err error
	if out.As == negotiate.PartialList {
		var m []byte
		m, err = table.PartialMessage(e, out.Version)
		b = append(b, m...)
	} else {
		b, err = message(b, e, s)
	}
	if err != nil {
		return b, err
	}
	n := len(b) - at - 1 - room
	var l [binary.MaxVarintLen64]byte
	w := binary.PutUvarint(l[:], uint64(n))
	if w != room {
		b = slices.Grow(b, max(w-room, 0))
		end := at + 1 + w + n
		item := b[at+1+room : at+1+room+n]
		b = b[:end]
		copy(b[at+1+w:], item)
	}
	copy(b[at+1:], l[:w])
	return b, nil
}

func uvarintLen(n int) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}
