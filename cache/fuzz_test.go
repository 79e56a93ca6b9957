package cache

import (
	"bytes"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// FuzzContinue: a token is refused or stays within what is listed
// (CVE-2022-3162), and one that the server made comes back as it was.
func FuzzContinue(f *testing.F) {
	f.Add(encodeContinue(5, "default/a\x00"))
	f.Add(encodeContinue(-1, "a"))
	f.Add(encodeContinue(5, "../../secrets/a"))
	f.Add(encodeContinue(5, "/a"))
	f.Fuzz(func(t *testing.T, token string) {
		rev, start, err := decodeContinue(token)
		if err != nil {
			return
		}
		if rev == 0 || start == "" || start[0] == '/' || start == ".." || strings.HasPrefix(start, "../") || strings.Contains(start, "/../") || strings.HasSuffix(start, "/..") {
			t.Errorf("%d %q", rev, start)
		}
		if again, same, err := decodeContinue(encodeContinue(rev, start)); err != nil || again != rev || same != start {
			t.Errorf("%d %q became %d %q, %v", rev, start, again, same, err)
		}
	})
}

// FuzzSplice: setting the revision in a stored message gives what setting it in
// the object gives, for whatever another server may have stored.
func FuzzSplice(f *testing.F) {
	pod := &corev1.Pod{}
	pod.Name, pod.Namespace, pod.Labels = "p", "default", map[string]string{"a": "b"}
	pod.Spec.NodeName = "n"
	raw, err := pod.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte{tagMetadata, 0})
	f.Add([]byte{tagMetadata, 2, tagResourceVersion, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		before := bytes.Clone(raw)
		out, err := spliceRevision([]byte("x"), raw, "17")
		if !bytes.Equal(raw, before) {
			t.Fatal("what is stored was changed")
		}
		if err != nil {
			if string(out) != "x" {
				t.Errorf("%q was left behind", out)
			}
			return
		}
		var was, is corev1.Pod
		if was.Unmarshal(raw) != nil {
			return // not an object: never stored
		}
		again, err := was.Marshal()
		if err != nil || !bytes.Equal(again, raw) {
			return // not as an encoder lays it out
		}
		was.ResourceVersion = "17"
		if err := is.Unmarshal(out[1:]); err != nil || is.String() != was.String() {
			t.Errorf("%v\n%s\n%s", err, is.String(), was.String())
		}
	})
}
