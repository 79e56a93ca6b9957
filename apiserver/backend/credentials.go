package backend

import (
	"net/http"
	"strings"
)

// credentials of the client, which nobody behind this server is to see.
var credentials = []string{
	"Authorization", "Impersonate-User", "Impersonate-Uid", "Impersonate-Group",
	"X-Remote-User", "X-Remote-Uid", "X-Remote-Group",
}

// DropCredentials takes out of a request what shows who its client is: also a
// token that a browser sends as a WebSocket protocol, and impersonation.
func DropCredentials(h http.Header) {
	for _, k := range credentials {
		h.Del(k)
	}
	const bearer = "base64url.bearer.authorization.k8s.io."
	if v := h.Values("Sec-Websocket-Protocol"); len(v) > 0 {
		var keep []string
		for _, p := range strings.Split(strings.Join(v, ","), ",") {
			if p = strings.TrimSpace(p); p != "" && !strings.HasPrefix(p, bearer) {
				keep = append(keep, p)
			}
		}
		h.Set("Sec-Websocket-Protocol", strings.Join(keep, ", "))
	}
	for k := range h {
		if strings.HasPrefix(k, "Impersonate-Extra-") || strings.HasPrefix(k, "X-Remote-Extra-") {
			h.Del(k)
		}
	}
}
