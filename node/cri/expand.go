package cri

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Expand replaces $(NAME) by lookup(NAME). $$ stands for a dollar sign;
// anything else after a dollar sign, an unclosed parenthesis too, is left as
// it is. The result is not expanded again.
func Expand(s string, lookup func(name string) string) string {
	if !strings.Contains(s, "$") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case '$':
			b.WriteByte('$')
		case '(':
			end := strings.IndexByte(s[i:], ')')
			if end < 0 {
				b.WriteString("$(")
				continue
			}
			b.WriteString(lookup(s[i+1 : i+end]))
			i += end
		default:
			b.WriteByte('$')
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// lookupOrKeep finds a variable in the first map that has it, and otherwise
// keeps the reference as written.
func lookupOrKeep(in ...map[string]string) func(string) string {
	return func(name string) string {
		for _, m := range in {
			if v, ok := m[name]; ok {
				return v
			}
		}
		return "$(" + name + ")"
	}
}

func expandAll(list []string, env []*runtimeapi.KeyValue) []string {
	if len(list) == 0 {
		return nil
	}
	lookup := lookupOrKeep(envMap(env))
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = Expand(s, lookup)
	}
	return out
}

// expandSubPath expands subPathExpr; unlike elsewhere, a missing or empty
// variable is an error, for it would silently mount another directory.
func expandSubPath(m corev1.VolumeMount, env []*runtimeapi.KeyValue) (string, error) {
	vars := envMap(env)
	var missing []string
	out := Expand(m.SubPathExpr, func(name string) string {
		v := vars[name]
		if v == "" && !slices.Contains(missing, name) {
			missing = append(missing, name)
		}
		return v
	})
	if len(missing) > 0 {
		slices.Sort(missing)
		return "", fmt.Errorf("missing value for %s", strings.Join(missing, ", "))
	}
	return out, nil
}

func envMap(env []*runtimeapi.KeyValue) map[string]string {
	m := make(map[string]string, len(env))
	for _, e := range env {
		m[e.Key] = string(e.Value)
	}
	return m
}
