package edge

import (
	"net/url"
	"strings"
)

// canonical is the path of a request as the table compares it: every element
// decoded, but for slashes inside of one, which stay encoded. It reports false for
// what is no path, and for one that another server might take for another.
func canonical(escaped string) (string, bool) {
	if !strings.HasPrefix(escaped, "/") {
		return "", false
	}
	if !strings.ContainsAny(escaped, "%.;\\") && plain(escaped) {
		return escaped, true
	}
	elements := strings.Split(escaped, "/")
	for i, e := range elements {
		decoded, err := url.PathUnescape(e)
		if err != nil || !plain(decoded) || climbs(decoded) {
			return "", false
		}
		elements[i] = strings.ReplaceAll(decoded, "/", "%2F")
	}
	return strings.Join(elements, "/"), true
}

// plain tells whether a text is free of control characters.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f })
}

// climbs tells whether some server may read a dot segment out of an element: one
// that takes a backslash or an encoded slash for a separator, or what follows a
// semicolon for parameters.
func climbs(element string) bool {
	for part := range strings.FieldsFuncSeq(element, func(r rune) bool { return r == '/' || r == '\\' }) {
		part, _, _ = strings.Cut(part, ";")
		if part == "." || part == ".." {
			return true
		}
	}
	return false
}
