package parts

import "fmt"

// Maker makes a part.
type Maker string

// The makers.
const (
	Proa     Maker = "proa"
	Upstream Maker = "upstream"
)

// Part is one process of a cluster.
type Part string

// The parts.
const (
	APIServer   Part = "API server"
	Controllers Part = "controllers"
	Scheduler   Part = "scheduler"
	Kubelet     Part = "kubelet"
	Proxy       Part = "proxy"
)

// All parts in the order in which they start.
var All = []Part{APIServer, Controllers, Scheduler, Kubelet, Proxy}

// Makers says who makes each part.
type Makers map[Part]Maker

// AllBy is a cluster of one maker's parts, with the exceptions.
func AllBy(m Maker, exceptions ...Part) Makers {
	ms := Makers{}
	for _, p := range All {
		ms[p] = m
	}
	for _, p := range exceptions {
		if m == Proa {
			ms[p] = Upstream
		} else {
			ms[p] = Proa
		}
	}
	return ms
}

// String names a cluster as its exception, which is how people speak of it.
func (m Makers) String() string {
	count := map[Maker]int{}
	for _, p := range All {
		count[m[p]]++
	}
	most, other := Proa, Upstream
	if count[Upstream] > count[Proa] {
		most, other = Upstream, Proa
	}
	if count[other] == 0 {
		return fmt.Sprintf("all %s's", most)
	}
	s := fmt.Sprintf("%s's, but", most)
	for _, p := range All {
		if m[p] == other {
			s += " " + string(p)
		}
	}
	return s
}
