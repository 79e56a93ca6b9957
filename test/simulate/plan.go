package simulate

import (
	"math/rand/v2"
	"time"
)

// plan is what a seed decides about a run before it begins.
type plan struct {
	seed  uint64
	nodes int
	users int
	// chaos is how long faults and users go on.
	chaos time.Duration
	// crashEvery is the mean number of writes between deaths of the control
	// plane; 0 for none.
	crashEvery int
	store      odds
	network    odds
	// lag is the most that the store's watch is behind.
	lag time.Duration
	// events happen one after the other, at random times.
	events []event
	// lastJump is forward; see jump.
}

// odds are how many of a thousand requests meet a fault.
type odds struct {
	refused, lost, slow int
	// delay is the most that a slow one waits.
	delay time.Duration
}

// event is something that happens to the world at a time.
type event struct {
	after time.Duration // since the event before
	what  what
	node  int
	by    time.Duration
}

type what int

const (
	cutStore what = iota
	cutClients
	compact
	cutAndCompact
	nodeStop
	nodeStart
	jump
	killPlane
	kinds
)

func (w what) String() string {
	return [...]string{"cut the store's watches", "cut the clients' watches", "compact", "cut and compact", "stop a node", "start a node", "jump the clock", "kill the control plane"}[w]
}

// Clocks may jump back by up to an hour, but forward by no more than the time
// after which controllers give up waiting for their own writes to show: how a
// suspended machine counts that time is not what is tested here.
const (
	jumpBack    = time.Hour
	jumpForward = 4 * time.Minute
)

func newPlan(seed uint64) plan {
	r := rand.New(rand.NewPCG(seed, 1))
	p := plan{
		seed: seed, nodes: 3 + r.IntN(4), users: 2 + r.IntN(3),
		chaos: time.Duration(10+r.IntN(20)) * time.Minute,
		lag:   time.Duration(r.IntN(2000)) * time.Millisecond,
	}
	// Some runs know only some kinds of faults, so that each is also met alone.
	if r.IntN(3) > 0 {
		p.crashEvery = 100 + r.IntN(800)
	}
	if r.IntN(3) > 0 {
		p.store = odds{refused: r.IntN(10), lost: r.IntN(10), slow: r.IntN(50), delay: 5 * time.Second}
	}
	if r.IntN(3) > 0 {
		p.network = odds{refused: r.IntN(20), lost: r.IntN(20), slow: r.IntN(100), delay: 3 * time.Second}
	}
	var t, jumped time.Duration
	for {
		e := event{after: time.Duration(r.IntN(120)) * time.Second, what: what(r.IntN(int(kinds))), node: r.IntN(p.nodes)}
		if t += e.after; t > p.chaos {
			return p
		}
		if e.what == jump {
			e.by = -time.Duration(r.Int64N(int64(jumpBack)))
			if r.IntN(2) == 0 && t-jumped > 2*jumpForward {
				e.by, jumped = time.Duration(r.Int64N(int64(jumpForward))), t
			}
		}
		p.events = append(p.events, e)
	}
}

// setBack is by how much the control plane's clock is set back in all. A delay
// that it counts becomes longer by that, in the simulation: what Go says of the
// time lets delays be counted right, whatever happens to a real clock, but no
// other clock can say such a thing.
func (p *plan) setBack() (total time.Duration) {
	for _, e := range p.events {
		total -= min(e.by, 0)
	}
	return total
}

// fate decides about the n-th of something, whatever happened before.
func fate(seed, stream, n uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed^stream<<56, n))
}
