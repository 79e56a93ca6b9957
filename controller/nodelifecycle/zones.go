package nodelifecycle

import (
	"time"

	v1 "k8s.io/api/core/v1"
)

// Upstream's defaults: nodes given up per second, and in a zone that is mostly
// ill; the share of ill nodes from which a zone counts as such; the size up to
// which such a zone gives up none.
const (
	evictionRate   = 0.1
	secondaryRate  = 0.01
	unhealthyShare = 0.55
	largeCluster   = 50
)

// zone names the failure domain of a node.
func zone(n *v1.Node) string {
	return n.Labels[v1.LabelTopologyRegion] + "\x00" + n.Labels[v1.LabelTopologyZone]
}

// rates returns for every zone how many of its nodes may be given up per
// second.
func rates(nodes []*v1.Node) map[string]float64 {
	type count struct{ all, ill int }
	zones := map[string]*count{}
	for _, n := range nodes {
		z := zones[zone(n)]
		if z == nil {
			z = &count{}
			zones[zone(n)] = z
		}
		z.all++
		if c := condition(n.Status.Conditions, v1.NodeReady); c == nil || c.Status != v1.ConditionTrue {
			z.ill++
		}
	}
	out := make(map[string]float64, len(zones))
	disrupted := 0
	for name, z := range zones {
		switch {
		case z.ill == z.all:
			disrupted++
			out[name] = evictionRate
		case z.ill > 2 && float64(z.ill)/float64(z.all) >= unhealthyShare:
			out[name] = 0
			if z.all > largeCluster {
				out[name] = secondaryRate
			}
		default:
			out[name] = evictionRate
		}
	}
	if disrupted == len(zones) {
		// Nothing is well anywhere: the fault is more likely here.
		for name := range out {
			out[name] = 0
		}
	}
	return out
}

// pace spaces out what happens at a rate. The zero value lets the first pass.
type pace struct{ last time.Time }

// allow reports whether one more may happen now, and otherwise how long to
// wait; a rate of zero never allows, and has to be asked again.
func (p *pace) allow(rate float64, now time.Time) (bool, time.Duration) {
	if rate <= 0 {
		return false, time.Minute
	}
	next := p.last.Add(time.Duration(float64(time.Second) / rate))
	if !p.last.IsZero() && now.Before(next) {
		return false, next.Sub(now)
	}
	p.last = now
	return true, 0
}
