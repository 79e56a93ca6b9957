package interchange

import (
	"fmt"
	"regexp"
)

// known are differences between the twins that are meant: a cause that one of
// them gives and the other does not. TestTwins does not fail for them.
var known = []struct {
	kind, cause *regexp.Regexp // of the collection's path; of "field: message", of "reason: message" where there are no causes, or of the class
	why         string
}{
	{regexp.MustCompile(`/persistentvolumes$`), regexp.MustCompile(`^spec\.flexVolume: forbidden: may not specify more than 1 volume type`),
		"upstream forgets to look at this type, and stores a volume of two"},
	{regexp.MustCompile(`/events$`), regexp.MustCompile(`^reporting(Controller|Component): `),
		"an event is checked as it is stored, in core/v1, where the field has another name"},
	{regexp.MustCompile(`/daemonsets$`), regexp.MustCompile(`^BadRequest: .*strconv\.ParseInt`),
		"upstream cannot convert an annotation that it would overwrite anyway"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`\.volumes\[\d+\]\.downward?API: forbidden: may not specify more than 1 volume type`),
		"upstream has left a letter out of the field's name"},
	{regexp.MustCompile(`/pods$`), regexp.MustCompile(`^content at \.status\.qosClass`),
		"upstream lets the maker of a pod choose its class of service"},
	{regexp.MustCompile(`.`), regexp.MustCompile(`\.restartPolicyRules\[\d+\]\.action: unsupported value: .* supported values: "restart"`),
		"the node does not restart all containers at once, so the API does not let anybody ask for it"},
}

// forgive takes known causes out of a refusal. excused means that nothing else
// was wrong.
func forgive(kind string, r *reply) (excused bool) {
	status, ok := r.body.(map[string]any)
	if !ok || r.code < 300 {
		return false
	}
	details, _ := status["details"].(map[string]any)
	list, _ := details["causes"].([]any)
	if len(list) == 0 {
		return isKnown(kind, fmt.Sprint(status["reason"], ": ", status["message"]))
	}
	var left []any
	for _, c := range list {
		m, _ := c.(map[string]any)
		if !isKnown(kind, fmt.Sprint(m["field"], ": ", m["message"])) {
			left = append(left, c)
		}
	}
	if len(left) == len(list) {
		return false
	}
	details["causes"] = left
	return len(left) == 0
}

func isKnown(kind, cause string) bool {
	for _, k := range known {
		if k.kind.MatchString(kind) && k.cause.MatchString(cause) {
			return true
		}
	}
	return false
}
