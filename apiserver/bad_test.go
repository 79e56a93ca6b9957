package apiserver_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"proa/apiserver/apitest"
	"proa/apiserver/codec"
)

// bomb is a YAML document of a few hundred bytes that names a billion values.
func bomb() string {
	s := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'k'; c++ {
		s += string(c) + ": &" + string(c) + " [" + strings.Repeat("*"+string(c-1)+",", 9) + "*" + string(c-1) + "]\n"
	}
	return s
}

func query(key, value string) string { return "?" + url.Values{key: {value}}.Encode() }

func continues(json string) string {
	return query("continue", base64.RawURLEncoding.EncodeToString([]byte(json)))
}

// Bad bodies, options and headers get upstream's code, reason and words. What
// could take the server down once is named by the lesson:
//
//   - CVE-2019-11253: aliases of YAML that expand to gigabytes, and nesting of
//     JSON that a recursive parser follows.
//   - CVE-2019-1002100: a JSON patch of so many operations that applying it
//     takes minutes.
//   - CVE-2019-11254: YAML that takes quadratic time.
//   - CVE-2022-3162 and CVE-2019-11247: the place of an object comes from the
//     definition, never from "..", a body or a token.
func TestBadInput(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	want(t, env, call{method: "POST", path: cms, body: cm("a", `,"data":{"k":"v"}`)}, 201)
	want(t, env, call{method: "POST", path: podsPath, body: podBody}, 201)
	const yaml, proto = "application/yaml", pb
	a := cms + "/a"
	operation := func(op string, n int) string { return "[" + strings.Repeat(op+",", n-1) + op + "]" }
	deep := func(open, shut string, n int) string { return strings.Repeat(open, n) + strings.Repeat(shut, n) }
	message := func(kind string, raw []byte) string {
		b := codec.AppendHeader(nil, corev1.SchemeGroupVersion.WithKind(kind), len(raw))
		return string(codec.AppendTrailer(append(b, raw...)))
	}
	lying := "k8s\x00" + string(binary.AppendUvarint([]byte{2<<3 | 2}, 1<<62)) + "x"
	huge := `"` + strings.Repeat("x", 3<<20) + `"`
	cases := []struct {
		name   string
		call   call
		code   int
		reason string
		text   string
	}{
		// Bodies.
		{"an array", call{method: "POST", path: cms, body: "[]"}, 400, "BadRequest", "json: cannot unmarshal array"},
		{"a number", call{method: "POST", path: cms, body: "1"}, 400, "BadRequest", "json: cannot unmarshal number"},
		{"no text", call{method: "POST", path: cms, body: "\xff\xfe\x00"}, 400, "BadRequest", "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: invalid character"},
		{"two documents", call{method: "POST", path: cms, body: "{}{}"}, 400, "BadRequest", "invalid character '{' after top-level value"},
		{"a field of another type", call{method: "POST", path: cms, body: cm("x", `,"data":{"a":1}`)}, 400, "BadRequest", `ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type string`},
		{"another case of a field", call{method: "POST", path: cms + "?fieldValidation=Strict", body: cm("x", `,"Data":{"a":"1"}`)}, 400, "BadRequest", `strict decoding error: unknown field \"Data\"`},
		{"a field twice", call{method: "POST", path: cms + "?fieldValidation=Strict", body: cm("x", `,"data":{"a":"1","a":"2"}`)}, 400, "BadRequest", `strict decoding error: duplicate field \"data.a\"`},
		{"a field twice in YAML", call{method: "POST", path: cms + "?fieldValidation=Strict", body: "metadata: {name: x}\ndata:\n  a: b\n  a: c\n", contentType: yaml}, 400, "BadRequest", `strict decoding error`},
		{"not base64", call{method: "POST", path: cms, body: cm("x", `,"binaryData":{"a":"*"}`)}, 400, "BadRequest", "illegal base64 data at input byte 0"},
		{"not a time", call{method: "POST", path: cms, body: `{"metadata":{"name":"x","creationTimestamp":"now"}}`}, 400, "BadRequest", `parsing time \"now\"`},
		{"not a quantity", call{method: "POST", path: podsPath, body: strings.Replace(podBody, `"image":"i"`, `"image":"i","resources":{"limits":{"cpu":"many"}}`, 1)}, 400, "BadRequest", "quantities must match the regular expression"},
		{"a number beyond its type", call{method: "POST", path: podsPath, body: strings.Replace(podBody, `"spec":{`, `"spec":{"priority":99999999999,`, 1)}, 400, "BadRequest", "cannot unmarshal number 99999999999 into Go struct field PodSpec.spec.priority of type int32"},
		{"CVE-2019-11253 nested arrays", call{method: "POST", path: cms, body: deep("[", "]", 1<<20)}, 400, "BadRequest", "exceeded max depth"},
		{"CVE-2019-11253 nested objects, open", call{method: "POST", path: cms, body: strings.Repeat(`{"a":`, 200_000)}, 400, "BadRequest", "exceeded max depth"},
		{"CVE-2019-11253 aliases", call{method: "POST", path: cms, body: bomb(), contentType: yaml}, 400, "BadRequest", "document contains excessive aliasing"},
		{"CVE-2019-11253 aliases in an applied configuration", call{method: "PATCH", path: a + "?fieldManager=m", body: bomb(), contentType: applyType}, 400, "BadRequest", "excessive aliasing"},
		{"CVE-2019-11254 brackets in YAML", call{method: "POST", path: cms, body: strings.Repeat("[", 3<<20-1), contentType: yaml}, 400, "BadRequest", "exceeded max depth"},
		{"CVE-2019-11254 dashes in YAML", call{method: "POST", path: cms, body: strings.Repeat("- ", 1<<20), contentType: yaml}, 400, "BadRequest", "exceeded max depth"},
		{"CVE-2019-11254 indentation in YAML", call{method: "POST", path: cms, body: strings.Repeat(" ", 1<<20) + "a: b", contentType: yaml}, 400, "BadRequest", "exceeded max depth"},
		{"YAML that refers to itself", call{method: "POST", path: cms, body: "a: &a [*a]", contentType: yaml}, 400, "BadRequest", "contains itself"},
		{"no YAML", call{method: "POST", path: cms, body: "a: b: c", contentType: yaml}, 400, "BadRequest", "mapping values are not allowed in this context"},
		{"a body past the limit", call{method: "POST", path: cms, body: huge}, 413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728"},
		{"a patch past the limit", call{method: "PATCH", path: a, body: huge, contentType: mergeType}, 413, "RequestEntityTooLarge", "limit is 3145728"},
		{"delete options past the limit", call{method: "DELETE", path: a, body: huge}, 413, "RequestEntityTooLarge", "limit is 3145728"},
		{"protobuf without its prefix", call{method: "POST", path: cms, body: cm("x", ""), contentType: proto}, 400, "BadRequest", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"},
		{"protobuf of a lying length", call{method: "POST", path: cms, body: lying, contentType: proto}, 400, "BadRequest", "unexpected EOF"},
		{"protobuf of another kind", call{method: "POST", path: cms, body: message("Pod", nil), contentType: proto}, 400, "BadRequest", `Pod in version \"v1\" cannot be handled as a ConfigMap`},
		{"protobuf of noise", call{method: "POST", path: cms, body: message("ConfigMap", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f}), contentType: proto}, 400, "BadRequest", "unexpected EOF"},
		{"protobuf of nested groups", call{method: "POST", path: cms, body: message("ConfigMap", []byte(strings.Repeat("\x7b", 100_000))), contentType: proto}, 400, "BadRequest", "unexpected EOF"},
		// Patches.
		{"CVE-2019-1002100 operations", call{method: "PATCH", path: a, contentType: jsonPatch, body: operation(`{"op":"test","path":"/kind","value":"ConfigMap"}`, 10_001)}, 413, "RequestEntityTooLarge", "The allowed maximum operations in a JSON patch is 10000, got 10001"},
		{"copies that double", call{method: "PATCH", path: a, contentType: jsonPatch, body: `[{"op":"add","path":"/data/k","value":"` + strings.Repeat("x", 1<<20) + `"},` + operation(`{"op":"copy","from":"/data","path":"/data/n"}`, 30)[1:]}, 422, "Invalid", "the server rejected our request due to an error in our request"},
		{"an operation of no kind", call{method: "PATCH", path: a, contentType: jsonPatch, body: `[{"op":"jump","path":"/data"}]`}, 422, "Invalid", "the server rejected our request due to an error in our request"},
		{"a path to nowhere", call{method: "PATCH", path: a, contentType: jsonPatch, body: `[{"op":"remove","path":"/data/none/x"}]`}, 422, "Invalid", "the server rejected our request due to an error in our request"},
		{"a test that fails", call{method: "PATCH", path: a, contentType: jsonPatch, body: `[{"op":"test","path":"/data/k","value":"w"}]`}, 422, "Invalid", "the server rejected our request due to an error in our request"},
		{"an object as JSON patch", call{method: "PATCH", path: a, contentType: jsonPatch, body: `{}`}, 400, "BadRequest", "json: cannot unmarshal object"},
		{"an array as merge patch", call{method: "PATCH", path: a, contentType: mergeType, body: `[]`}, 400, "BadRequest", "json: cannot unmarshal array"},
		{"no JSON as strategic patch", call{method: "PATCH", path: a, contentType: strategic, body: `{"a"`}, 400, "BadRequest", "unexpected end of JSON input"},
		{"a deep merge patch", call{method: "PATCH", path: a, contentType: mergeType, body: strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)}, 400, "BadRequest", "exceeded max depth"},
		{"a deep strategic patch", call{method: "PATCH", path: a, contentType: strategic, body: strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)}, 400, "BadRequest", "exceeded max depth"},
		{"a deep JSON patch", call{method: "PATCH", path: a, contentType: jsonPatch, body: `[{"op":"add","path":"/data","value":` + deep("[", "]", 5000) + `}]`}, 400, "BadRequest", "exceeded max depth"},
		{"a directive of no kind", call{method: "PATCH", path: podsPath + "/p", contentType: strategic, body: `{"spec":{"containers":[{"$patch":"explode","name":"c"}]}}`}, 422, "Invalid", "the server rejected our request due to an error in our request"},
		{"a list item without its key", call{method: "PATCH", path: podsPath + "/p", contentType: strategic, body: `{"spec":{"containers":[{"image":"x"}]}}`}, 422, "Invalid", "the server rejected our request due to an error in our request"},
		{"a patch that takes the name", call{method: "PATCH", path: a, contentType: mergeType, body: `{"metadata":{"name":"b"}}`}, 400, "BadRequest", "the name of the object (b) does not match the name on the URL (a)"},
		{"CVE-2019-11247 a patch that moves", call{method: "PATCH", path: a, contentType: mergeType, body: `{"metadata":{"namespace":"kube-system"}}`}, 400, "BadRequest", "the namespace of the provided object does not match the namespace sent on the request"},
		{"a patch of another type", call{method: "PATCH", path: a, contentType: mergeType, body: `{"data":{"k":1}}`}, 422, "Invalid", "cannot unmarshal number into Go struct field ConfigMap.data of type string"},
		{"an applied configuration of no kind", call{method: "PATCH", path: a + "?fieldManager=m", contentType: applyType, body: `{}`}, 400, "BadRequest", ""},
		{"an applied list", call{method: "PATCH", path: a + "?fieldManager=m", contentType: applyType, body: `[]`}, 400, "BadRequest", "error decoding YAML"},
		// Options.
		{"a manager without end", call{method: "POST", path: cms + query("fieldManager", strings.Repeat("m", 129)), body: cm("x", "")}, 422, "Invalid", "fieldManager: Too long: may not be more than 128 bytes"},
		{"a manager that does not print", call{method: "POST", path: cms + query("fieldManager", "a\x00b"), body: cm("x", "")}, 422, "Invalid", "invalid character U+0000"},
		{"force of another patch", call{method: "PATCH", path: a + "?force=true", contentType: mergeType, body: `{}`}, 422, "Invalid", "force: Forbidden: may not be specified for non-apply patch"},
		{"no query", call{method: "GET", path: cms + "?labelSelector=%zz"}, 400, "BadRequest", "invalid URL escape"},
		{"a label selector of brackets", call{method: "GET", path: cms + query("labelSelector", strings.Repeat("(", 1000))}, 400, "BadRequest", ""},
		{"a label selector of bad values", call{method: "GET", path: cms + query("labelSelector", "a in (b c)")}, 400, "BadRequest", "unable to parse requirement"},
		{"a label selector of a bad key", call{method: "GET", path: cms + query("labelSelector", "-a=b")}, 400, "BadRequest", `unable to parse requirement: \u003cnil\u003e: Invalid value: \"-a\"`},
		{"a field selector of no kind", call{method: "GET", path: cms + query("fieldSelector", "a~b")}, 400, "BadRequest", "invalid selector"},
		{"a negative limit", call{method: "GET", path: cms + "?limit=-1"}, 0, "", ""},
		{"a limit beyond its type", call{method: "GET", path: cms + "?limit=99999999999999999999"}, 400, "BadRequest", "value out of range"},
		{"a negative version", call{method: "GET", path: cms + "?resourceVersion=-1"}, 400, "BadRequest", "resourceVersion: Invalid value"},
		{"a version beyond its type", call{method: "GET", path: cms + "?resourceVersion=99999999999999999999"}, 400, "BadRequest", "resourceVersion: Invalid value"},
		{"a match of no kind", call{method: "GET", path: cms + "?resourceVersion=1&resourceVersionMatch=Around"}, 422, "Invalid", `resourceVersionMatch: Unsupported value: \"Around\"`},
		{"a token of no JSON", call{method: "GET", path: cms + continues("{")}, 400, "BadRequest", "continue key is not valid"},
		{"a token of another version", call{method: "GET", path: cms + continues(`{"v":"v0","rv":1,"start":"a"}`)}, 400, "BadRequest", "continue key is not valid: server does not recognize this encoded version v0"},
		{"a token of no version", call{method: "GET", path: cms + continues(`{"v":"meta.k8s.io/v1","start":"a"}`)}, 400, "BadRequest", "incorrect encoded start resourceVersion"},
		{"a token of no key", call{method: "GET", path: cms + continues(`{"v":"meta.k8s.io/v1","rv":1}`)}, 400, "BadRequest", "encoded start key empty"},
		{"CVE-2022-3162 a token that leads elsewhere", call{method: "GET", path: cms + continues(`{"v":"meta.k8s.io/v1","rv":1,"start":"../../secrets/default/a"}`)}, 400, "BadRequest", "continue key is not valid"},
		{"a watch of a bad time", call{method: "GET", path: cms + "?watch=1&timeoutSeconds=long"}, 400, "BadRequest", "invalid syntax"},
		{"initial events of a list", call{method: "GET", path: cms + "?sendInitialEvents=true"}, 422, "Invalid", "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list"},
		{"a grace period of words", call{method: "DELETE", path: podsPath + "/p?gracePeriodSeconds=soon"}, 400, "BadRequest", "invalid syntax"},
		{"both ways to orphan", call{method: "DELETE", path: a, body: `{"orphanDependents":true,"propagationPolicy":"Orphan"}`}, 422, "Invalid", "orphanDependents and deletionPropagation cannot be both set"},
		{"delete options of another kind", call{method: "DELETE", path: a, body: `{"kind":"Pod","apiVersion":"v1"}`}, 400, "BadRequest", ""},
		// Names.
		{"CVE-2022-3162 a name above", call{method: "GET", path: cms + "/.."}, 400, "BadRequest", ""},
		{"CVE-2022-3162 an escaped slash", call{method: "GET", path: cms + "/a%252f..%252f..%252fsecrets"}, 400, "BadRequest", ""},
		{"a name of a slash", call{method: "POST", path: cms, body: cm("a/b", "")}, 422, "Invalid", "metadata.name: Invalid value"},
		{"a name without end", call{method: "POST", path: cms, body: cm(strings.Repeat("a", 254), "")}, 422, "Invalid", "must be no more than 253"},
		{"annotations past the limit", call{method: "POST", path: cms, body: `{"metadata":{"name":"x","annotations":{"a":"` + strings.Repeat("x", 256<<10) + `"}}}`}, 422, "Invalid", "metadata.annotations: Too long: may not be more than 262144 bytes"},
		{"data past the limit", call{method: "POST", path: cms, body: cm("x", `,"data":{"a":"`+strings.Repeat("x", 1<<20+1)+`"}`)}, 422, "Invalid", "Too long: may not be more than 1048576 bytes"},
		{"managed fields of noise", call{method: "POST", path: cms, body: `{"metadata":{"name":"noise","managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"q:":[1]}}]}}`}, 0, "", ""},
		// Headers.
		{"accept of noise", call{method: "GET", path: cms, accept: strings.Repeat(";,=/", 1000)}, 406, "NotAcceptable", "only the following media types are accepted"},
		{"accept of another conversion", call{method: "GET", path: cms, accept: "application/json;as=Tree;g=meta.k8s.io;v=v1"}, 406, "NotAcceptable", ""},
		{"accept of a protobuf table", call{method: "GET", path: cms, accept: pb + ";as=Table;g=meta.k8s.io;v=v1"}, 406, "NotAcceptable", ""},
		{"accept of a table of what has none", call{method: "POST", path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body: `{"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}`, accept: "application/json;as=Table;g=meta.k8s.io;v=v1"}, 406, "NotAcceptable", "only the following media types are accepted: application/json, application/yaml, application/vnd.kubernetes.protobuf"},
		{"content type of noise", call{method: "POST", path: cms, body: cm("x", ""), contentType: strings.Repeat(";,=/", 1000)}, 415, "UnsupportedMediaType", ""},
		{"impersonation of nobody", call{method: "GET", path: cms, header: map[string]string{"Impersonate-Group": "system:masters"}}, 500, "InternalError", "requested impersonation without impersonating a user"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.code == 0 { // accepted by upstream; it must only not panic
				if w := c.call.do(t, env); w.Code >= 500 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				return
			}
			w := want(t, env, c.call, c.code, c.text)
			if s := status(t, w); c.reason != "" && string(s.Reason) != c.reason {
				t.Errorf("reason %q, want %q: %s", s.Reason, c.reason, s.Message)
			}
		})
	}
}

// Unknown fields are refused, warned of or passed over, as the client asks.
func TestFieldValidation(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	for i, c := range []struct {
		mode     string
		code     int
		warnings int
	}{{"Strict", 400, 0}, {"Warn", 201, 2}, {"", 201, 2}, {"Ignore", 201, 0}} {
		for j, contentType := range []string{"application/json", "application/yaml"} {
			w := call{
				method: "POST", path: cms + "?fieldValidation=" + c.mode, contentType: contentType,
				body: cm(fmt.Sprint("x", i, "-", j), `,"foo":1,"bar":{}`),
			}.do(t, env)
			if w.Code != c.code || len(w.Header().Values("Warning")) != c.warnings {
				t.Errorf("%q in %s: %d with warnings %q", c.mode, contentType, w.Code, w.Header().Values("Warning"))
			}
		}
	}
}

// Names that a client makes up, in whatever bytes, leave nothing in the metrics:
// a series for each would fill the memory, and one that is no text once ended
// the connection with a panic.
func TestMadeUpNamesAreNotCounted(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	for _, path := range []string{
		podsPath + "/a/madeup", podsPath + "/a/%F3", "/api/v1/madeups", "/apis/madeup/v1/pods/a/log", "/apis/x/%F3/y/a/exec",
		"/api/v1/watch/pods/a/madeup", "/api/v1/watch/madeups", podsPath + "//%F3",
	} {
		if w := (call{method: "GET", path: path}).do(t, env); w.Code != 404 && w.Code != 405 && w.Code != 400 {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	if w := want(t, env, call{method: "GET", path: "/metrics"}, 200); strings.Contains(w.Body.String(), "madeup") {
		t.Error("a name that was made up is kept")
	}
}
