package scripts

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// difference is an answer that is not upstream's, on purpose.
type difference struct {
	why    string
	answer answer
}

const (
	shallow = "what nests deeper than a thousand is refused before anything that recurses sees it: no object of any use comes near"
	noHub   = "the message names a Go type, and there is no hub type here"
)

func bad(message string) answer {
	return answer{Code: 400, Reason: metav1.StatusReasonBadRequest, Message: message}
}

// differences by the name of the case of bad input.
var differences = map[string]difference{
	"CVE-2019-11253 nested arrays":        {shallow, bad("the object provided is unrecognized (must be of type ConfigMap): exceeded max depth of 1000 (5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b ...)")},
	"CVE-2019-11253 nested objects, open": {shallow, bad(`the object provided is unrecognized (must be of type ConfigMap): exceeded max depth of 1000 ({"a":{"a":{"a":{"a":{"a":{"a": ...)`)},
	"CVE-2019-11254 brackets in YAML":     {shallow, bad("the object provided is unrecognized (must be of type ConfigMap): exceeded max depth of 1000 (5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b5b ...)")},
	"CVE-2019-11254 dashes in YAML":       {shallow, bad("the object provided is unrecognized (must be of type ConfigMap): exceeded max depth of 1000 (2d202d202d202d202d202d202d202d202d202d202d202d202d202d202d20 ...)")},
	"CVE-2019-11254 indentation in YAML":  {shallow, bad("the object provided is unrecognized (must be of type ConfigMap): exceeded max depth of 1000 (202020202020202020202020202020202020202020202020202020202020 ...)")},
	"a deep merge patch":                  {shallow, bad("error decoding patch: exceeded max depth of 1000")},
	"a deep strategic patch":              {shallow, bad("exceeded max depth of 1000")},
	"a deep JSON patch":                   {shallow, bad("exceeded max depth of 1000")},
	"protobuf of another kind":            {noHub, bad(`Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (v1.ConfigMap): unknown conversion`)},
	"an object as JSON patch":             {noHub, bad("error decoding patch: json: cannot unmarshal object into Go value of type []patch.operation")},
	"no query":                            {"a selector that cannot be read would otherwise be none, and a delete with it one of everything", bad(`invalid URL escape "%zz"`)},
	"delete options of another kind":      {"the message names a line of upstream's source", bad("decoded object cannot be converted to DeleteOptions")},
	"accept of noise":                     {"the list leaves out the types of a watch's stream, which is not what was asked for", answer{Code: 406, Reason: metav1.StatusReasonNotAcceptable, Message: "406: Not Acceptable\n\nAvailable representations: application/json, application/yaml, application/vnd.kubernetes.protobuf"}},
	"impersonation of nobody":             {"the message prints a Go struct, with all that was to be impersonated", bad("requested impersonation without impersonating a user name")},
}
