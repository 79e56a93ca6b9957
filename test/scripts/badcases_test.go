package scripts

import (
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"proa/apiserver/codec"
)

// request is one that no client library would send.
type request struct {
	method, path, body string
	contentType        string
	accept             string
	header             map[string]string
}

type badCase struct {
	name    string
	request request
}

const (
	protobuf  = "application/vnd.kubernetes.protobuf"
	jsonPatch = "application/json-patch+json"
	mergeType = "application/merge-patch+json"
	strategic = "application/strategic-merge-patch+json"
	applyType = "application/apply-patch+yaml"
	yaml      = "application/yaml"
)

const podBody = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p"},"spec":{"containers":[{"name":"c","image":"i"}]}}`

func cm(name, extra string) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"}` + extra + `}`
}

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

func operations(op string, n int) string { return "[" + strings.Repeat(op+",", n-1) + op + "]" }

func nested(open, shut string, n int) string {
	return strings.Repeat(open, n) + strings.Repeat(shut, n)
}

// message is the envelope of protobuf around anything.
func message(kind string, raw []byte) string {
	b := codec.AppendHeader(nil, corev1.SchemeGroupVersion.WithKind(kind), len(raw))
	return string(codec.AppendTrailer(append(b, raw...)))
}

// badInput are requests in a namespace that holds the config map "a", with the
// value "v" of "k", and the pod "p". What could take a server down once is named
// by the lesson:
//
//   - CVE-2019-11253: aliases of YAML that expand to gigabytes, and nesting of
//     JSON that a recursive parser follows.
//   - CVE-2019-1002100: a JSON patch of so many operations that applying it
//     takes minutes.
//   - CVE-2019-11254: YAML that takes quadratic time.
//   - CVE-2022-3162 and CVE-2019-11247: the place of an object comes from the
//     definition, never from "..", a body or a token.
func badInput(ns string) []badCase {
	cms, pods := "/api/v1/namespaces/"+ns+"/configmaps", "/api/v1/namespaces/"+ns+"/pods"
	a := cms + "/a"
	lying := "k8s\x00" + string(binary.AppendUvarint([]byte{2<<3 | 2}, 1<<62)) + "x"
	huge := `"` + strings.Repeat("x", 3<<20) + `"`
	return []badCase{
		// Bodies.
		{"an array", request{method: "POST", path: cms, body: "[]"}},
		{"a number", request{method: "POST", path: cms, body: "1"}},
		{"no text", request{method: "POST", path: cms, body: "\xff\xfe\x00"}},
		{"two documents", request{method: "POST", path: cms, body: "{}{}"}},
		{"a field of another type", request{method: "POST", path: cms, body: cm("x", `,"data":{"a":1}`)}},
		{"another case of a field", request{method: "POST", path: cms + "?fieldValidation=Strict", body: cm("x", `,"Data":{"a":"1"}`)}},
		{"a field twice", request{method: "POST", path: cms + "?fieldValidation=Strict", body: cm("x", `,"data":{"a":"1","a":"2"}`)}},
		{"a field twice in YAML", request{method: "POST", path: cms + "?fieldValidation=Strict", body: "metadata: {name: x}\ndata:\n  a: b\n  a: c\n", contentType: yaml}},
		{"not base64", request{method: "POST", path: cms, body: cm("x", `,"binaryData":{"a":"*"}`)}},
		{"not a time", request{method: "POST", path: cms, body: `{"metadata":{"name":"x","creationTimestamp":"now"}}`}},
		{"not a quantity", request{method: "POST", path: pods, body: strings.Replace(podBody, `"image":"i"`, `"image":"i","resources":{"limits":{"cpu":"many"}}`, 1)}},
		{"a number beyond its type", request{method: "POST", path: pods, body: strings.Replace(podBody, `"spec":{`, `"spec":{"priority":99999999999,`, 1)}},
		{"CVE-2019-11253 nested arrays", request{method: "POST", path: cms, body: nested("[", "]", 1<<20)}},
		{"CVE-2019-11253 nested objects, open", request{method: "POST", path: cms, body: strings.Repeat(`{"a":`, 200_000)}},
		{"CVE-2019-11253 aliases", request{method: "POST", path: cms, body: bomb(), contentType: yaml}},
		{"CVE-2019-11253 aliases in an applied configuration", request{method: "PATCH", path: a + "?fieldManager=m", body: bomb(), contentType: applyType}},
		{"CVE-2019-11254 brackets in YAML", request{method: "POST", path: cms, body: strings.Repeat("[", 3<<20-1), contentType: yaml}},
		{"CVE-2019-11254 dashes in YAML", request{method: "POST", path: cms, body: strings.Repeat("- ", 1<<20), contentType: yaml}},
		{"CVE-2019-11254 indentation in YAML", request{method: "POST", path: cms, body: strings.Repeat(" ", 1<<20) + "a: b", contentType: yaml}},
		{"YAML that refers to itself", request{method: "POST", path: cms, body: "a: &a [*a]", contentType: yaml}},
		{"no YAML", request{method: "POST", path: cms, body: "a: b: c", contentType: yaml}},
		{"a body past the limit", request{method: "POST", path: cms, body: huge}},
		{"a patch past the limit", request{method: "PATCH", path: a, body: huge, contentType: mergeType}},
		{"delete options past the limit", request{method: "DELETE", path: a, body: huge}},
		{"protobuf without its prefix", request{method: "POST", path: cms, body: cm("x", ""), contentType: protobuf}},
		{"protobuf of a lying length", request{method: "POST", path: cms, body: lying, contentType: protobuf}},
		{"protobuf of another kind", request{method: "POST", path: cms, body: message("Pod", nil), contentType: protobuf}},
		{"protobuf of noise", request{method: "POST", path: cms, body: message("ConfigMap", []byte{0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f}), contentType: protobuf}},
		{"protobuf of nested groups", request{method: "POST", path: cms, body: message("ConfigMap", []byte(strings.Repeat("\x7b", 100_000))), contentType: protobuf}},
		// Patches.
		{"CVE-2019-1002100 operations", request{method: "PATCH", path: a, contentType: jsonPatch, body: operations(`{"op":"test","path":"/kind","value":"ConfigMap"}`, 10_001)}},
		{"copies that double", request{method: "PATCH", path: a, contentType: jsonPatch, body: `[{"op":"add","path":"/data/k","value":"` + strings.Repeat("x", 1<<20) + `"},` + operations(`{"op":"copy","from":"/data","path":"/data/n"}`, 30)[1:]}},
		{"an operation of no kind", request{method: "PATCH", path: a, contentType: jsonPatch, body: `[{"op":"jump","path":"/data"}]`}},
		{"a path to nowhere", request{method: "PATCH", path: a, contentType: jsonPatch, body: `[{"op":"remove","path":"/data/none/x"}]`}},
		{"a test that fails", request{method: "PATCH", path: a, contentType: jsonPatch, body: `[{"op":"test","path":"/data/k","value":"w"}]`}},
		{"an object as JSON patch", request{method: "PATCH", path: a, contentType: jsonPatch, body: `{}`}},
		{"an array as merge patch", request{method: "PATCH", path: a, contentType: mergeType, body: `[]`}},
		{"no JSON as strategic patch", request{method: "PATCH", path: a, contentType: strategic, body: `{"a"`}},
		{"a deep merge patch", request{method: "PATCH", path: a, contentType: mergeType, body: strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)}},
		{"a deep strategic patch", request{method: "PATCH", path: a, contentType: strategic, body: strings.Repeat(`{"a":`, 5000) + "1" + strings.Repeat("}", 5000)}},
		{"a deep JSON patch", request{method: "PATCH", path: a, contentType: jsonPatch, body: `[{"op":"add","path":"/data","value":` + nested("[", "]", 5000) + `}]`}},
		{"a directive of no kind", request{method: "PATCH", path: pods + "/p", contentType: strategic, body: `{"spec":{"containers":[{"$patch":"explode","name":"c"}]}}`}},
		{"a list item without its key", request{method: "PATCH", path: pods + "/p", contentType: strategic, body: `{"spec":{"containers":[{"image":"x"}]}}`}},
		{"a patch that takes the name", request{method: "PATCH", path: a, contentType: mergeType, body: `{"metadata":{"name":"b"}}`}},
		{"CVE-2019-11247 a patch that moves", request{method: "PATCH", path: a, contentType: mergeType, body: `{"metadata":{"namespace":"kube-system"}}`}},
		{"a patch of another type", request{method: "PATCH", path: a, contentType: mergeType, body: `{"data":{"k":1}}`}},
		{"an applied configuration of no kind", request{method: "PATCH", path: a + "?fieldManager=m", contentType: applyType, body: `{}`}},
		{"an applied list", request{method: "PATCH", path: a + "?fieldManager=m", contentType: applyType, body: `[]`}},
		// Options.
		{"a manager without end", request{method: "POST", path: cms + query("fieldManager", strings.Repeat("m", 129)), body: cm("x", "")}},
		{"a manager that does not print", request{method: "POST", path: cms + query("fieldManager", "a\x00b"), body: cm("x", "")}},
		{"force of another patch", request{method: "PATCH", path: a + "?force=true", contentType: mergeType, body: `{}`}},
		{"no query", request{method: "GET", path: cms + "?labelSelector=%zz"}},
		{"a label selector of brackets", request{method: "GET", path: cms + query("labelSelector", strings.Repeat("(", 1000))}},
		{"a label selector of bad values", request{method: "GET", path: cms + query("labelSelector", "a in (b c)")}},
		{"a label selector of a bad key", request{method: "GET", path: cms + query("labelSelector", "-a=b")}},
		{"a field selector of no kind", request{method: "GET", path: cms + query("fieldSelector", "a~b")}},
		{"a negative limit", request{method: "GET", path: cms + "?limit=-1"}},
		{"a limit beyond its type", request{method: "GET", path: cms + "?limit=99999999999999999999"}},
		{"a negative version", request{method: "GET", path: cms + "?resourceVersion=-1"}},
		{"a version beyond its type", request{method: "GET", path: cms + "?resourceVersion=99999999999999999999"}},
		{"a match of no kind", request{method: "GET", path: cms + "?resourceVersion=1&resourceVersionMatch=Around"}},
		{"a token of no JSON", request{method: "GET", path: cms + continues("{")}},
		{"a token of another version", request{method: "GET", path: cms + continues(`{"v":"v0","rv":1,"start":"a"}`)}},
		{"a token of no version", request{method: "GET", path: cms + continues(`{"v":"meta.k8s.io/v1","start":"a"}`)}},
		{"a token of no key", request{method: "GET", path: cms + continues(`{"v":"meta.k8s.io/v1","rv":1}`)}},
		{"CVE-2022-3162 a token that leads elsewhere", request{method: "GET", path: cms + continues(`{"v":"meta.k8s.io/v1","rv":1,"start":"../../secrets/default/a"}`)}},
		{"a watch of a bad time", request{method: "GET", path: cms + "?watch=1&timeoutSeconds=long"}},
		{"initial events of a list", request{method: "GET", path: cms + "?sendInitialEvents=true"}},
		{"a grace period of words", request{method: "DELETE", path: pods + "/p?gracePeriodSeconds=soon"}},
		{"both ways to orphan", request{method: "DELETE", path: a, body: `{"orphanDependents":true,"propagationPolicy":"Orphan"}`}},
		{"delete options of another kind", request{method: "DELETE", path: a, body: `{"kind":"Pod","apiVersion":"v1"}`}},
		// Names.
		{"CVE-2022-3162 a name above", request{method: "GET", path: cms + "/.."}},
		{"CVE-2022-3162 an escaped slash", request{method: "GET", path: cms + "/a%252f..%252f..%252fsecrets"}},
		{"a name of a slash", request{method: "POST", path: cms, body: cm("a/b", "")}},
		{"a name without end", request{method: "POST", path: cms, body: cm(strings.Repeat("a", 254), "")}},
		{"annotations past the limit", request{method: "POST", path: cms, body: `{"metadata":{"name":"x","annotations":{"a":"` + strings.Repeat("x", 256<<10) + `"}}}`}},
		{"data past the limit", request{method: "POST", path: cms, body: cm("x", `,"data":{"a":"`+strings.Repeat("x", 1<<20+1)+`"}`)}},
		{"managed fields of noise", request{method: "POST", path: cms, body: `{"metadata":{"name":"noise","managedFields":[{"manager":"m","operation":"Update","apiVersion":"v1","fieldsType":"FieldsV1","fieldsV1":{"q:":[1]}}]}}`}},
		// Headers.
		{"accept of noise", request{method: "GET", path: cms, accept: strings.Repeat(";,=/", 1000)}},
		{"accept of another conversion", request{method: "GET", path: cms, accept: "application/json;as=Tree;g=meta.k8s.io;v=v1"}},
		{"accept of a protobuf table", request{method: "GET", path: cms, accept: protobuf + ";as=Table;g=meta.k8s.io;v=v1"}},
		{"accept of a table of what has none", request{method: "POST", path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body: `{"spec":{"nonResourceAttributes":{"path":"/","verb":"get"}}}`, accept: "application/json;as=Table;g=meta.k8s.io;v=v1"}},
		{"content type of noise", request{method: "POST", path: cms, body: cm("x", ""), contentType: strings.Repeat(";,=/", 1000)}},
		{"impersonation of nobody", request{method: "GET", path: cms, header: map[string]string{"Impersonate-Group": "system:masters"}}},
	}
}
