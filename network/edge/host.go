package edge

import (
	"net"
	"strings"
)

// maxHost is the longest name that DNS knows.
const maxHost = 253

// hostOf is the name in a Host header, in lower case, without port and final dot.
// It reports false for what can be no host.
func hostOf(header string) (string, bool) {
	host := header
	if strings.Contains(header, ":") {
		h, _, err := net.SplitHostPort(header)
		switch {
		case err == nil:
			host = h
		case strings.HasPrefix(header, "[") && strings.HasSuffix(header, "]"):
			host = header[1 : len(header)-1]
		default:
			return "", false
		}
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "" || len(host) > maxHost || strings.ContainsAny(host, "/\\?#@%\" \t") {
		return "", false
	}
	return host, true
}

// parent is what follows the first label of a name.
func parent(host string) (string, bool) {
	_, rest, ok := strings.Cut(host, ".")
	return rest, ok && rest != ""
}

// byHost finds what is kept for names: for the very name, else for its wildcard,
// which stands for one label.
type byHost[T any] map[string]T

func (m byHost[T]) find(host string) (T, bool) {
	if v, ok := m[host]; ok {
		return v, true
	}
	if rest, ok := parent(host); ok {
		v, ok := m["*."+rest]
		return v, ok
	}
	var none T
	return none, false
}
