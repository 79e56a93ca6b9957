package stream

import (
	"net/http"
	"net/url"
	"path"
	"strings"
)

// place is where a proxied workload is, as its client sees it: what the workload
// says of itself must lead there.
type place struct {
	// backend is the host that was dialled, and server the one that the client
	// has named.
	backend, server string
	// prefix of the workload's paths at this server.
	prefix string
}

// rewrite makes a redirect to the workload itself lead through the proxy again,
// and otherwise the links of an HTML page.
func (p *place) rewrite(resp *http.Response) error {
	if l := resp.Header.Get("Location"); l != "" {
		if u, err := url.Parse(l); err == nil {
			resp.Header.Set("Location", p.link(u))
		}
		return nil
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	if strings.TrimSpace(mediaType) != "text/html" || resp.Request.Method == http.MethodHead {
		return nil
	}
	body, ok := decoded(resp)
	if !ok {
		return nil
	}
	resp.Body = rewriteLinks(body, p.link)
	resp.ContentLength = -1
	resp.Header.Del("Content-Length")
	return nil
}

// link is a URL as it must read behind the proxy. Those of other hosts stay, and
// so do those that are relative to where the client is.
func (p *place) link(u *url.URL) string {
	if u.Host != "" && u.Host != p.backend && u.Host != p.server || !strings.HasPrefix(u.Path, "/") {
		return u.String()
	}
	u.Scheme, u.Host = "", ""
	if !strings.HasPrefix(u.Path, p.prefix) {
		u.Path, u.RawPath = p.through(u.Path), ""
	}
	return u.String()
}

// through is the path at this server of a workload's path.
func (p *place) through(workload string) string {
	out := path.Join(p.prefix, workload)
	if strings.HasSuffix(workload, "/") && !strings.HasSuffix(out, "/") {
		out += "/"
	}
	return out
}
