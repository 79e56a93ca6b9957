package core

import (
	"strings"

	"github.com/distribution/reference"
)

// imageTag is the tag of an image reference: "latest" where it names neither
// tag nor digest, and empty where it cannot be parsed.
func imageTag(image string) string {
	if tag, ok := plainImageTag(image); ok {
		return tag
	}
	named, err := reference.ParseNormalizedNamed(image)
	if err != nil {
		return ""
	}
	if t, ok := named.(reference.Tagged); ok {
		return t.Tag()
	}
	if _, ok := named.(reference.Digested); ok {
		return ""
	}
	return "latest"
}

// plainImageTag handles the references that nearly all images have (lower case
// words joined by single dots, dashes and slashes, and a tag) without the
// regular expressions of the general case.
func plainImageTag(image string) (tag string, ok bool) {
	name, tag := image, "latest"
	if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
		name, tag = image[:i], image[i+1:]
		if tag == "" || len(tag) > 128 || tag[0] == '.' || tag[0] == '-' {
			return "", false
		}
		for i := range len(tag) {
			if c := tag[i]; !isWord(c) && (c < 'A' || c > 'Z') && c != '.' && c != '-' && c != '_' {
				return "", false
			}
		}
	}
	if name == "" || len(name) > 200 {
		return "", false
	}
	word := false // whether the character before is one of a word
	for i := range len(name) {
		switch c := name[i]; {
		case isWord(c):
			word = true
		case word && (c == '.' || c == '-' || c == '/'):
			word = false
		default:
			return "", false
		}
	}
	return tag, word
}

func isWord(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }
