package discovery

import (
	"fmt"
	"strconv"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"

	"proa/resource/columns"
)

// shown is how many ports or addresses a cell lists before it only counts.
const shown = 3

func portsCell(ports []discoveryv1.EndpointPort) string {
	var list []string
	for i := range ports[:min(len(ports), shown)] {
		switch p := &ports[i]; {
		case p.Port != nil:
			list = append(list, strconv.Itoa(int(*p.Port)))
		case p.Name != nil:
			list = append(list, *p.Name)
		default:
			list = append(list, "*")
		}
	}
	return listCell(list, len(ports))
}

func addressesCell(es []discoveryv1.Endpoint) string {
	var list []string
	total := 0
	for i := range es {
		for _, a := range es[i].Addresses {
			if total++; total <= shown {
				list = append(list, a)
			}
		}
	}
	return listCell(list, total)
}

func listCell(list []string, total int) string {
	s := strings.Join(list, ",")
	if total > shown {
		return fmt.Sprintf("%s + %d more...", s, total-shown)
	}
	if s == "" {
		return columns.Unset
	}
	return s
}
