package rest

import (
	"encoding/binary"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/yaml"

	"proa/apiserver/codec"
	"proa/apiserver/negotiate"
	"proa/apiserver/request"
	"proa/apiserver/table"
	"proa/cache"
	"proa/resource"
)

func nameSelector(name string) fields.Selector {
	return fields.OneTermEqualSelector("metadata.name", name)
}

// eventEncoder makes the frames of one watch. The objects in them are encoded
// once for all watches.
type eventEncoder struct {
	call  *request.Call
	out   negotiate.Output
	table *table.Writer
	buf   []byte
}

func newEventEncoder(c *request.Call, out negotiate.Output) (*eventEncoder, error) {
	e := &eventEncoder{call: c, out: out}
	switch out.As {
	case negotiate.Table:
		t, err := tableWriter(c, out)
		if err != nil {
			return nil, err
		}
		e.table = t
	case negotiate.PartialList:
		// A watch has no list; its objects can only be single ones.
		e.out.As = negotiate.Partial
	}
	return e, nil
}

// frame returns the bytes of an event, valid until the next call.
func (e *eventEncoder) frame(ev *cache.WatchEvent) ([]byte, error) {
	entry := ev.Entry
	if ev.Type == watch.Bookmark {
		return e.bookmark(ev)
	}
	if e.out.Format == codec.Protobuf {
		return e.message(string(ev.Type), func(dst []byte) ([]byte, error) {
			s := e.call.Match.Served
			if e.out.As == negotiate.Partial {
				raw, err := table.PartialMessage(entry, e.out.Version)
				return enclose(dst, partialKind(e.out.Version), raw), err
			}
			if s.Storage {
				// Spliced together from the stored bytes; nothing is kept.
				scratch := codec.Buffer()
				defer codec.Release(scratch)
				raw, err := message(*scratch, entry, s)
				*scratch = raw
				return enclose(dst, s.GroupVersionKind(), raw), err
			}
			raw, err := message(nil, entry, s)
			return enclose(dst, s.GroupVersionKind(), raw), err
		})
	}
	var js []byte
	var err error
	switch e.out.As {
	case negotiate.Table:
		js, err = e.table.Append(nil, metav1.ListMeta{ResourceVersion: formatRevision(ev.Revision)}, []*cache.Entry{entry})
		e.table.NoHeaders = true
	case negotiate.Partial:
		js, err = table.Partial(entry, e.out.Version)
	default:
		js, err = table.JSON(entry, e.call.Match.Served)
		if err == nil {
			scratch := codec.Buffer()
			defer codec.Release(scratch)
			*scratch = table.AppendTyped(*scratch, js, e.call.Match.Served)
			js = *scratch
		}
	}
	if err != nil {
		return nil, err
	}
	return e.text(string(ev.Type), js)
}

// bookmark is an object with nothing but a resourceVersion.
func (e *eventEncoder) bookmark(ev *cache.WatchEvent) ([]byte, error) {
	s := e.call.Match.Served
	obj := s.New()
	obj.GetObjectKind().SetGroupVersionKind(s.GroupVersionKind())
	obj.SetResourceVersion(formatRevision(ev.Revision))
	if ev.InitialEventsEnd {
		obj.SetAnnotations(map[string]string{initialEventsEnd: "true"})
	}
	switch e.out.As {
	case negotiate.Partial:
		return e.object(string(ev.Type), table.PartialOf(obj, e.out.Version), partialKind(e.out.Version))
	case negotiate.Table:
		t := &metav1.Table{
			TypeMeta: metav1.TypeMeta{Kind: "Table", APIVersion: "meta.k8s.io/" + e.out.Version},
			ListMeta: metav1.ListMeta{ResourceVersion: obj.GetResourceVersion()},
			Rows: []metav1.TableRow{{
				Cells:  blankCells(e.call.Match.Served),
				Object: runtime.RawExtension{Object: table.PartialOf(obj, e.out.Version)},
			}},
		}
		return e.object(string(ev.Type), t, t.GroupVersionKind())
	}
	return e.object(string(ev.Type), obj, s.GroupVersionKind())
}

// blankCells fill the row of a bookmark, which nobody shows.
func blankCells(s *resource.Served) []any {
	cells := make([]any, max(len(s.Columns()), 1))
	for i := range cells {
		cells[i] = ""
	}
	return cells
}

// failure is the event that ends a watch.
func (e *eventEncoder) failure(s *metav1.Status) ([]byte, error) {
	return e.object(string(watch.Error), s, schema.GroupVersionKind{Version: "v1", Kind: "Status"})
}

// object frames an object that belongs to this watch alone.
func (e *eventEncoder) object(kind string, obj runtime.Object, gvk schema.GroupVersionKind) ([]byte, error) {
	if e.out.Format == codec.Protobuf {
		return e.message(kind, func(dst []byte) ([]byte, error) { return codec.AppendMessage(dst, obj, gvk) })
	}
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	js, err := json.Marshal(obj)
	if err != nil {
		return nil, err
	}
	return e.text(kind, js)
}

// text frames JSON, or YAML with its separator of documents.
func (e *eventEncoder) text(kind string, js []byte) ([]byte, error) {
	b := append(e.buf[:0], `{"type":"`...)
	b = append(b, kind...)
	b = append(b, `","object":`...)
	b = append(b, js...)
	b = append(b, "}\n"...)
	e.buf = b
	if e.out.Format == codec.YAML {
		y, err := yaml.JSONToYAML(b)
		return append([]byte("---\n"), y...), err
	}
	return b, nil
}

// message frames a WatchEvent message: four bytes of length, then the type in
// field 1, and in field 2 a RawExtension with the object in its envelope.
func (e *eventEncoder) message(kind string, object func([]byte) ([]byte, error)) ([]byte, error) {
	scratch := codec.Buffer()
	defer codec.Release(scratch)
	obj, err := object(*scratch)
	if err != nil {
		return nil, err
	}
	*scratch = obj
	var inner [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(inner[:], uint64(len(obj)))
	b := append(e.buf[:0], 0, 0, 0, 0)
	b = append(b, 1<<3|2, byte(len(kind)))
	b = append(b, kind...)
	b = binary.AppendUvarint(append(b, 2<<3|2), uint64(1+n+len(obj)))
	b = append(append(b, 1<<3|2), inner[:n]...)
	b = append(b, obj...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	e.buf = b
	return b, nil
}

// enclose appends a bare message with its envelope.
func enclose(dst []byte, gvk schema.GroupVersionKind, raw []byte) []byte {
	dst = codec.AppendHeader(dst, gvk, len(raw))
	return codec.AppendTrailer(append(dst, raw...))
}
