package cri

import (
	"bufio"
	"bytes"
	"strings"
)

// DNS is a resolver configuration in the three lists that resolv.conf and CRI
// share.
type DNS struct {
	Servers  []string
	Searches []string
	Options  []string
}

// ParseResolvConf reads a resolv.conf. Of several search lines the last one
// counts, as in the resolver; a trailing dot of a search domain is dropped and
// lines it does not know are skipped.
func ParseResolvConf(data []byte) DNS {
	var d DNS
	s := bufio.NewScanner(bytes.NewReader(data))
	for s.Scan() {
		line := s.Text()
		if i := strings.IndexAny(line, "#;"); i == 0 || i > 0 && strings.TrimSpace(line[:i]) == "" {
			continue
		}
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if len(f) > 1 {
				d.Servers = append(d.Servers, f[1])
			}
		case "search":
			d.Searches = nil
			for _, v := range f[1:] {
				if v != "." {
					v = strings.TrimSuffix(v, ".")
				}
				d.Searches = append(d.Searches, v)
			}
		case "options":
			d.Options = append(d.Options, f[1:]...)
		}
	}
	return d
}
