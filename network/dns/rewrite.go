package dns

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// rewrite is a directive of that name for names: what is asked for is looked up
// under another name, and answered under the own.
type rewrite struct {
	kind     string // exact, prefix, suffix, substring or regex
	from, to string
	pattern  *regexp.Regexp
	// goOn lets the rewrites after this one see the new name.
	goOn bool
}

// apply returns the new name, and false where it is not concerned.
func (r *rewrite) apply(name string) (string, bool) {
	switch r.kind {
	case "exact":
		return r.to, name == r.from
	case "prefix":
		rest, ok := strings.CutPrefix(name, r.from)
		return r.to + rest, ok
	case "suffix":
		rest, ok := strings.CutSuffix(name, r.from)
		return rest + r.to, ok
	case "substring":
		return strings.ReplaceAll(name, r.from, r.to), strings.Contains(name, r.from)
	}
	groups := r.pattern.FindStringSubmatch(name)
	if groups == nil {
		return name, false
	}
	to := r.to
	for i := len(groups) - 1; i >= 0; i-- {
		to = strings.ReplaceAll(to, "{"+strconv.Itoa(i)+"}", groups[i])
	}
	return to, true
}

// rewritten is the name under which a block looks another one up.
func (b *block) rewritten(name string) string {
	for _, r := range b.rewrites {
		to, ok := r.apply(name)
		if !ok {
			continue
		}
		// A name that is none is nobody's, and the question stays as it was.
		if to = strings.ToLower(dns.Fqdn(to)); valid(to) {
			name = to
		}
		if !r.goOn {
			break
		}
	}
	return name
}

func valid(name string) bool {
	_, ok := dns.IsDomainName(name)
	return ok
}
