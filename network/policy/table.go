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

// jump is how a value of those maps begins; the name of a chain follows.
const jump = "jump "

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
	places places
	// at is which of the places the table has.
	at int
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

func newTable(in places, bridge string) *table {
	t := &table{
		places: in, bridge: bridge, stale: true,
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

// apply brings the kernel to what the table shall hold, and lets no packet through
// on the way that neither what was there nor what comes allows. After an error
// the kernel has rules that were, or shall be, in force, and the next apply writes
// all of it anew.
func (t *table) apply(ctx context.Context) error {
	defer t.forget()
	wanted := len(t.chains) > 0
	var err error
	switch {
	case t.stale:
		err = t.replace(ctx)
	case t.present && wanted:
		err = t.change(ctx)
	case t.present || wanted:
		err = t.places.run(ctx, t.at, t.whole)
	}
	t.present, t.stale = wanted, err != nil
	return err
}

// replace writes all of the table at its other place, and deletes it where it was
// in a second transaction; between the two both judge. One transaction would have
// a hole: the kernel hooks new base chains, which are empty until the commit,
// before the old ones, which are empty after it, and each reads by itself whether
// the commit has been, so that a packet between them passes both.
//
// Where both are there, which a process leaves that ends halfway, one judges while
// the other is written anew.
func (t *table) replace(ctx context.Context) error {
	taken, err := t.places.taken(ctx, 0)
	if err != nil {
		return err
	}
	if t.at = 0; taken {
		t.at = 1
	}
	if err := t.places.run(ctx, t.at, t.whole); err != nil {
		return err
	}
	return t.places.run(ctx, 1-t.at, gone)
}

// change writes what has changed, in one transaction if it may. A packet goes by
// the rules that there were when it came into the base chain, but by the elements
// that there are when it is looked up. So one that is on its way while a
// transaction makes a chain, and leads an address there that went by another,
// finds the chain empty and passes: such chains are made in a transaction before.
// An address that went by none belongs to a pod that runs nothing yet, or that all
// may have reached until now.
func (t *table) change(ctx context.Context) error {
	if !t.redirects() {
		return t.places.run(ctx, t.at, t.additions, t.remainder)
	}
	if err := t.places.run(ctx, t.at, t.additions); err != nil {
		return err
	}
	return t.places.run(ctx, t.at, t.remainder)
}

// redirects tells whether an address that goes by a chain shall go by one that the
// kernel does not have.
func (t *table) redirects() bool {
	for e, old := range t.had {
		chain, jumps := strings.CutPrefix(t.elements[e.in][e.key], jump)
		if was, touched := t.hadChains[chain]; jumps && old.was && touched && !was {
			return true
		}
	}
	return false
}

// whole writes the table in place of what was there, or nothing where nothing is
// to be judged.
func (t *table) whole(tx *knftables.Transaction) {
	gone(tx)
	if len(t.chains) == 0 {
		return
	}
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

// additions makes the sets and chains that there were not. What is referred to
// comes before what refers to it.
func (t *table) additions(tx *knftables.Transaction) {
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
}

// remainder writes all else: the elements that have changed, and drops what nothing
// refers to after that.
func (t *table) remainder(tx *knftables.Transaction) {
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
