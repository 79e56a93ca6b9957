package cache

import (
	"encoding/base64"
	"encoding/json"
	"path"
	"strings"
)

// continueToken is what upstream puts into metadata.continue, so that a list
// begun with one server can go on with another.
type continueToken struct {
	APIVersion string `json:"v"`
	Revision   int64  `json:"rv"`
	// Start is the key to go on from, relative to what is listed.
	Start string `json:"start"`
}

const continueVersion = "meta.k8s.io/v1"

// encodeContinue makes a token. Revision -1 means the present, whatever it is.
func encodeContinue(rev int64, start string) string {
	b, err := json.Marshal(continueToken{continueVersion, rev, start})
	if err != nil {
		panic(err) // two strings and a number
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

func decodeContinue(token string) (rev int64, start string, err error) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return 0, "", &ContinueError{Reason: err.Error()}
	}
	var t continueToken
	if err := json.Unmarshal(b, &t); err != nil {
		return 0, "", &ContinueError{Reason: err.Error()}
	}
	switch {
	case t.APIVersion != continueVersion:
		return 0, "", &ContinueError{Reason: "server does not recognize this encoded version " + t.APIVersion}
	case t.Revision == 0:
		return 0, "", &ContinueError{Reason: "incorrect encoded start resourceVersion (version " + continueVersion + ")"}
	case t.Start == "":
		return 0, "", &ContinueError{Reason: "encoded start key empty (version " + continueVersion + ")"}
	}
	// The key must stay inside what is listed.
	clean := path.Clean("/" + t.Start)
	if strings.HasSuffix(t.Start, "/") && clean != "/" {
		clean += "/"
	}
	if clean[1:] != strings.TrimPrefix(t.Start, "/") || strings.HasPrefix(t.Start, "/") {
		return 0, "", &ContinueError{Reason: t.Start}
	}
	return t.Revision, t.Start, nil
}
