package stream

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"io"
	"net/http"
	"net/url"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// links are the attributes of HTML elements that hold a URL.
var links = map[atom.Atom][]string{
	atom.A:          {"href"},
	atom.Applet:     {"codebase"},
	atom.Area:       {"href"},
	atom.Audio:      {"src"},
	atom.Base:       {"href"},
	atom.Blockquote: {"cite"},
	atom.Body:       {"background"},
	atom.Button:     {"formaction"},
	atom.Command:    {"icon"},
	atom.Del:        {"cite"},
	atom.Embed:      {"src"},
	atom.Form:       {"action"},
	atom.Frame:      {"longdesc", "src"},
	atom.Head:       {"profile"},
	atom.Html:       {"manifest"},
	atom.Iframe:     {"longdesc", "src"},
	atom.Img:        {"longdesc", "src", "usemap"},
	atom.Input:      {"formaction", "src", "usemap"},
	atom.Ins:        {"cite"},
	atom.Link:       {"href"},
	atom.Object:     {"classid", "codebase", "data", "usemap"},
	atom.Q:          {"cite"},
	atom.Script:     {"src"},
	atom.Source:     {"src"},
	atom.Track:      {"src"},
	atom.Video:      {"poster", "src"},
}

// maxToken bounds the memory that one tag or one piece of text of a page takes.
const maxToken = 1 << 20

// page is an HTML page whose links are rewritten as it is read, piece by piece,
// so that one without end costs no more memory than another.
type page struct {
	source  io.ReadCloser
	tokens  *html.Tokenizer
	link    func(*url.URL) string
	pending bytes.Buffer
	err     error
}

// rewriteLinks replaces the URLs of a page by what link makes of them. The page
// is read as UTF-8. Closing the result closes the source.
func rewriteLinks(source io.ReadCloser, link func(*url.URL) string) io.ReadCloser {
	p := &page{source: source, tokens: html.NewTokenizer(source), link: link}
	p.tokens.SetMaxBuf(maxToken)
	return p
}

func (p *page) Close() error { return p.source.Close() }

func (p *page) Read(b []byte) (int, error) {
	for p.pending.Len() == 0 && p.err == nil {
		p.next()
	}
	if p.pending.Len() > 0 {
		return p.pending.Read(b)
	}
	return 0, p.err
}

// next appends the next piece, or notes why there is none.
func (p *page) next() {
	switch p.tokens.Next() {
	case html.ErrorToken:
		// What was read before the end belongs to the page.
		p.pending.Write(p.tokens.Raw())
		p.err = p.tokens.Err()
	case html.StartTagToken, html.SelfClosingTagToken:
		raw := bytes.Clone(p.tokens.Raw())
		if t := p.tokens.Token(); p.change(&t) {
			p.pending.WriteString(t.String())
		} else {
			p.pending.Write(raw)
		}
	default:
		p.pending.Write(p.tokens.Raw())
	}
}

// change rewrites the URLs of an element, and tells whether there are any. What
// is no URL stays as it is.
func (p *page) change(t *html.Token) bool {
	changed := false
	for _, name := range links[t.DataAtom] {
		for i := range t.Attr {
			if t.Attr[i].Key != name {
				continue
			}
			if u, err := url.Parse(t.Attr[i].Val); err == nil {
				t.Attr[i].Val, changed = p.link(u), true
			}
		}
	}
	return changed
}

// decoded is the plain body of a response, whose header then says so. False: it
// is encoded in a way that is not known here.
func decoded(resp *http.Response) (io.ReadCloser, bool) {
	body := resp.Body
	switch resp.Header.Get("Content-Encoding") {
	case "":
		return body, true
	case "gzip":
		body = &unpacked{source: body, open: func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }}
	case "deflate":
		body = &unpacked{source: body, open: func(r io.Reader) (io.Reader, error) { return flate.NewReader(r), nil }}
	default:
		return nil, false
	}
	resp.Header.Del("Content-Encoding")
	return body, true
}

// unpacked begins to unpack with the first read: before, the backend may not
// have sent what the unpacking begins with.
type unpacked struct {
	source io.ReadCloser
	open   func(io.Reader) (io.Reader, error)
	plain  io.Reader
}

func (u *unpacked) Read(b []byte) (int, error) {
	if u.plain == nil {
		r, err := u.open(u.source)
		if err != nil {
			return 0, err
		}
		u.plain = r
	}
	return u.plain.Read(b)
}

func (u *unpacked) Close() error { return u.source.Close() }
