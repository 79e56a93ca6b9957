package scheduler

// domains divides the nodes by the value of one label.
type domains struct {
	key string
	// of is the number of each slot's domain, or none.
	of    []int32
	index map[string]int32
	seen  uint64 // generation of the nodes that this is true of
}

// none is the domain of a node without the label.
const none int32 = -1

// maxKeys bounds the labels that nodes are divided by at a time.
const maxKeys = 64

// domains returns the division by a label.
func (s *nodes) domains(key string) *domains {
	d := s.divisions[key]
	if d == nil {
		if len(s.divisions) >= maxKeys {
			clear(s.divisions) // made anew when they are asked for
		}
		d = &domains{key: key, index: map[string]int32{}}
		s.divisions[key] = d
	}
	d.follow(s)
	return d
}

// follow brings the division up to date.
func (d *domains) follow(s *nodes) {
	if d.seen == s.generation && len(d.of) == len(s.slots) {
		return
	}
	if len(d.index) > 2*len(s.slots)+maxKeys {
		// Most of the values belong to nodes that are gone.
		clear(d.index)
		d.of = d.of[:0]
	}
	changed, known := s.since(d.seen)
	if !known || len(d.of) == 0 {
		d.of = d.of[:0]
	}
	for len(d.of) < len(s.slots) {
		d.of = append(d.of, none)
		d.renew(s, len(d.of)-1)
	}
	if known {
		for _, i := range changed {
			d.renew(s, i)
		}
	}
	d.seen = s.generation
}

func (d *domains) renew(s *nodes, slot int) {
	d.of[slot] = none
	n := s.slots[slot]
	if n.api == nil {
		return
	}
	value, ok := n.api.Labels[d.key]
	if !ok {
		return
	}
	i, known := d.index[value]
	if !known {
		i = int32(len(d.index))
		d.index[value] = i
	}
	d.of[slot] = i
}

// count is how many numbers domains have; some may be of no node any more.
func (d *domains) count() int { return len(d.index) }

// sum adds up counts of slots by domain.
func (d *domains) sum(bySlot []int32) []int32 {
	out := make([]int32, d.count())
	for slot, i := range d.of {
		if i != none {
			out[i] += bySlot[slot]
		}
	}
	return out
}
