package proxy

import (
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"
)

// writer collects the changes of one transaction. What is referred to is added
// before, and deleted after, what refers to it.
type writer struct {
	*table
	tx *knftables.Transaction
	// before are how many users each shared thing had that this transaction
	// has touched.
	before map[element]int
	// chains and sets of single fronts that are to be deleted.
	chains, sets []string
}

// inChains stands for the container of shared chains.
const inChains = "chains"

// change makes one front what it is to be; nil removes it.
func (w *writer) change(k Key, f *Front) {
	old, next := w.fronts[k], fronted{Front: f}
	if f != nil {
		next.targets, next.local = old.targets.with(f.Targets), old.local.with(f.Local)
		w.fronts[k] = next
	} else {
		delete(w.fronts, k)
	}
	before, after := w.render(old), w.render(next)
	w.share(after.shared)
	w.own(before, after)
	w.enter(before, after)
	for name := range before.shared {
		w.use(element{inChains, name}, -1)
	}
}

// use counts users of something that fronts share.
func (w *writer) use(e element, more int) {
	if _, touched := w.before[e]; !touched {
		w.before[e] = w.uses[e]
	}
	if w.uses[e] += more; w.uses[e] == 0 {
		delete(w.uses, e)
	}
}

// share counts one more user of shared chains, and makes those at once that are
// not there, for the user refers to them.
func (w *writer) share(chains map[string][]string) {
	var missing []string
	for _, name := range sorted(chains) {
		e := element{inChains, name}
		_, touched := w.before[e]
		if w.use(e, 1); !touched && w.before[e] == 0 {
			missing = append(missing, name)
			w.tx.Add(&knftables.Chain{Name: name})
		}
	}
	// All before any is filled: they refer to each other.
	for _, name := range missing {
		w.fill(name, chains[name])
	}
}

// own makes the chains and sets of one front.
func (w *writer) own(before, after *objects) {
	for _, name := range sorted(after.clients) {
		if _, was := before.clients[name]; was {
			continue
		}
		w.tx.Add(&knftables.Set{
			Name: name, TypeOf: w.ip + " saddr", Timeout: knftables.PtrTo(after.clients[name]),
			Flags: []knftables.SetFlag{knftables.DynamicFlag, knftables.TimeoutFlag}, Size: knftables.PtrTo(uint64(maxClients)),
		})
	}
	for _, name := range sorted(after.chains) {
		if _, was := before.chains[name]; !was {
			w.tx.Add(&knftables.Chain{Name: name})
		}
	}
	for _, name := range sorted(after.chains) {
		if rules := before.chains[name]; !slices.Equal(rules, after.chains[name]) {
			if rules != nil {
				w.tx.Flush(&knftables.Chain{Name: name})
			}
			w.fill(name, after.chains[name])
		}
	}
	for _, name := range sorted(before.chains) {
		if _, stays := after.chains[name]; !stays {
			w.chains = append(w.chains, name)
		}
	}
	for _, name := range sorted(before.clients) {
		if _, stays := after.clients[name]; !stays {
			w.sets = append(w.sets, name)
		}
	}
}

// maxClients bounds how many clients an endpoint remembers.
const maxClients = 65535

func (w *writer) fill(chain string, rules []string) {
	for _, r := range rules {
		w.tx.Add(&knftables.Rule{Chain: chain, Rule: r})
	}
}

// enter changes the entries of one front in sets and maps. An entry with
// another value is deleted first.
func (w *writer) enter(before, after *objects) {
	for _, e := range slices.SortedFunc(maps.Keys(before.elements), compareElements) {
		value, stays := after.elements[e]
		switch {
		case e.in == setClusterIPs:
			w.use(e, -1)
		case !stays || value != before.elements[e]:
			w.tx.Delete(entry(e, before.elements[e]))
		}
	}
	for _, e := range slices.SortedFunc(maps.Keys(after.elements), compareElements) {
		value, was := before.elements[e]
		switch {
		case e.in == setClusterIPs:
			w.use(e, 1)
		case !was || value != after.elements[e]:
			w.tx.Add(entry(e, after.elements[e]))
		}
	}
}

// finish settles what is shared, and deletes what nothing refers to any more.
func (w *writer) finish() {
	for _, e := range slices.SortedFunc(maps.Keys(w.before), compareElements) {
		was, is := w.before[e] > 0, w.uses[e] > 0
		switch {
		case e.in == inChains:
			if !is {
				w.chains = append(w.chains, e.key)
			}
		case !was && is:
			w.tx.Add(entry(e, ""))
		case was && !is:
			w.tx.Delete(entry(e, ""))
		}
	}
	for _, name := range w.chains {
		w.tx.Flush(&knftables.Chain{Name: name})
	}
	for _, name := range w.chains {
		w.tx.Delete(&knftables.Chain{Name: name})
	}
	for _, name := range w.sets {
		w.tx.Delete(&knftables.Set{Name: name})
	}
}

func compareElements(a, b element) int {
	if c := strings.Compare(a.in, b.in); c != 0 {
		return c
	}
	return strings.Compare(a.key, b.key)
}

func entry(e element, value string) *knftables.Element {
	out := &knftables.Element{Key: strings.Split(e.key, " . ")}
	if isSet(e.in) {
		out.Set = e.in
	} else {
		out.Map = e.in
		out.Value = strings.Split(value, " . ")
	}
	return out
}
