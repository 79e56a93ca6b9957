package policy

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/knftables"
)

// Names in the table, to which the family is added.
const (
	mapIngress = "ingress"
	mapEgress  = "egress"
	setSelf    = "self"
)

func mapOf(d direction, f family) string {
	if d == ingress {
		return mapIngress + f.suffix
	}
	return mapEgress + f.suffix
}

// element is the key of an entry in a set or map.
type element struct{ in, key string }

// table is what the nftables table shall hold, and what of it the kernel does not
// know yet. Not for concurrent use.
type table struct {
	nft knftables.Interface
	// bridge that pods hang on, "" where it is not known.
	bridge string

	sets     map[string]string // type
	chains   map[string][]string
	elements map[string]map[string]string // value, "" in sets, by container and key

	// What the kernel has, of all that was touched since the last apply.
	had       map[element]had
	hadSets   map[string]bool
	hadChains map[string]bool
	// present is whether the kernel has the table; stale means that nobody knows
	// what it has.
	present, stale bool
}

// had is a value that the kernel has, or none.
type had struct {
	value string
	was   bool
}

func newTable(nft knftables.Interface, bridge string) *table {
	t := &table{
		nft: nft, bridge: bridge, stale: true,
		sets: map[string]string{}, chains: map[string][]string{}, elements: map[string]map[string]string{},
	}
	t.forget()
	return t
}

// forget makes what there is be what the kernel has.
func (t *table) forget() {
	t.had, t.hadSets, t.hadChains = map[element]had{}, map[string]bool{}, map[string]bool{}
}

func note[K comparable, V any](in map[K]V, k K, v V) {
	if _, noted := in[k]; !noted {
		in[k] = v
	}
}

func (t *table) addSet(name, kind string) {
	_, was := t.sets[name]
	note(t.hadSets, name, was)
	t.sets[name] = kind
}

// dropSet takes a set away, with all that is in it.
func (t *table) dropSet(name string) {
	note(t.hadSets, name, true)
	for key := range t.elements[name] {
		t.remove(element{name, key})
	}
	delete(t.sets, name)
}

// addChain makes a chain, which has the same lines for as long as it is there.
func (t *table) addChain(name string, lines []string) {
	_, was := t.chains[name]
	note(t.hadChains, name, was)
	t.chains[name] = lines
}

func (t *table) dropChain(name string) {
	note(t.hadChains, name, true)
	delete(t.chains, name)
}

func (t *table) put(e element, value string) {
	old, was := t.elements[e.in][e.key]
	if was && old == value {
		return
	}
	note(t.had, e, had{old, was})
	if t.elements[e.in] == nil {
		t.elements[e.in] = map[string]string{}
	}
	t.elements[e.in][e.key] = value
}

func (t *table) remove(e element) {
	old, was := t.elements[e.in][e.key]
	if !was {
		return
	}
	note(t.had, e, had{old, true})
	if delete(t.elements[e.in], e.key); len(t.elements[e.in]) == 0 {
		delete(t.elements, e.in)
	}
}

// apply brings the kernel to what the table shall hold, in one transaction.
// After an error the kernel has what it had, and the next apply writes all of it
// anew.
func (t *table) apply(ctx context.Context) error {
	tx := t.nft.NewTransaction()
	wanted := len(t.chains) > 0
	switch {
	case !wanted && (t.present || t.stale):
		// Adding first makes deleting work when it is not there.
		tx.Add(&knftables.Table{})
		tx.Delete(&knftables.Table{})
	case !wanted:
	case !t.present || t.stale:
		t.whole(tx)
	default:
		t.difference(tx)
	}
	t.forget()
	if tx.NumOperations() == 0 {
		return nil
	}
	t.stale = true
	if err := t.nft.Run(ctx, tx); err != nil {
		return err
	}
	t.present, t.stale = wanted, false
	return nil
}

// whole writes the table in place of what was there.
func (t *table) whole(tx *knftables.Transaction) {
	tx.Add(&knftables.Table{})
	tx.Delete(&knftables.Table{})
	t.base(tx)
	for _, name := range sorted(t.sets) {
		tx.Add(&knftables.Set{Name: name, Type: t.sets[name]})
	}
	for _, name := range sorted(t.chains) {
		t.chain(tx, name)
	}
	for _, in := range sorted(t.elements) {
		for _, key := range sorted(t.elements[in]) {
			tx.Add(entry(element{in, key}, t.elements[in][key]))
		}
	}
}

// difference writes what has changed: what is referred to comes before, and goes
// after, what refers to it.
func (t *table) difference(tx *knftables.Transaction) {
	for _, name := range sorted(t.hadSets) {
		if kind, is := t.sets[name]; is && !t.hadSets[name] {
			tx.Add(&knftables.Set{Name: name, Type: kind})
		}
	}
	for _, name := range sorted(t.hadChains) {
		if t.chains[name] != nil && !t.hadChains[name] {
			t.chain(tx, name)
		}
	}
	for _, e := range slices.SortedFunc(maps.Keys(t.had), func(a, b element) int {
		return cmp.Or(compare(a.in, b.in), compare(a.key, b.key))
	}) {
		old := t.had[e]
		value, is := t.elements[e.in][e.key]
		if t.leaves(e.in) || old.was == is && old.value == value {
			continue
		}
		if old.was {
			tx.Delete(entry(e, old.value))
		}
		if is {
			tx.Add(entry(e, value))
		}
	}
	t.drop(tx)
}

// leaves tells whether a set goes, and all that is in it.
func (t *table) leaves(set string) bool {
	_, touched := t.hadSets[set]
	_, is := t.sets[set]
	return touched && !is
}

// drop deletes the chains and sets that nothing refers to any more.
func (t *table) drop(tx *knftables.Transaction) {
	var chains []string
	for _, name := range sorted(t.hadChains) {
		if t.chains[name] == nil && t.hadChains[name] {
			chains = append(chains, name)
		}
	}
	for _, name := range chains {
		tx.Flush(&knftables.Chain{Name: name})
		tx.Delete(&knftables.Chain{Name: name})
	}
	for _, name := range sorted(t.hadSets) {
		if t.leaves(name) && t.hadSets[name] {
			tx.Delete(&knftables.Set{Name: name})
		}
	}
}

func (t *table) chain(tx *knftables.Transaction, name string) {
	tx.Add(&knftables.Chain{Name: name})
	for _, line := range t.chains[name] {
		tx.Add(&knftables.Rule{Chain: name, Rule: line})
	}
}

func entry(e element, value string) *knftables.Element {
	out := &knftables.Element{Key: strings.Split(e.key, " . ")}
	if value == "" {
		out.Set = e.in
	} else {
		out.Map, out.Value = e.in, []string{value}
	}
	return out
}

func compare(a, b string) int { return strings.Compare(a, b) }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
