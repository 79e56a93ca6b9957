package fairness

import (
	"context"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"

	"proa/apiserver/request"
	"proa/auth"
)

// Config of the sharing. It is not changed after New.
type Config struct {
	// Total is how many seats there are.
	Total int
	// Patience is how long a request waits for seats (15 seconds).
	Patience time.Duration
	Log      *slog.Logger
}

// period is how often seats are lent anew while there is work.
const period = 10 * time.Second

// Fairness shares out a server. Make it with New. Safe for concurrent use.
type Fairness struct {
	config  Config
	present atomic.Pointer[settings]

	mu     sync.Mutex // serialises changes
	levels map[string]*level
	counts map[string]*counts

	// working is set by the first request of a time of work.
	working atomic.Bool
	wake    chan struct{}
}

// settings are one state of the configuration.
type settings struct {
	schemas []*schema
	levels  []*level
	// rest is the schema of requests that no other fits.
	rest *schema
}

// New makes a sharing by the objects that every cluster has from the beginning.
func New(c Config) *Fairness {
	if c.Patience == 0 {
		c.Patience = 15 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	f := &Fairness{config: c, levels: map[string]*level{}, counts: map[string]*counts{}, wake: make(chan struct{}, 1)}
	f.Configure(
		append(bootstrap.MandatoryFlowSchemas, bootstrap.SuggestedFlowSchemas...),
		append(bootstrap.MandatoryPriorityLevelConfigurations, bootstrap.SuggestedPriorityLevelConfigurations...),
	)
	return f
}

// Configure goes by other objects from now on. Those that are mandatory count
// also where they are not among them; a schema whose level is not there does not.
func (f *Fairness) Configure(schemas []*flowcontrolv1.FlowSchema, levels []*flowcontrolv1.PriorityLevelConfiguration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	objects := map[string]*flowcontrolv1.PriorityLevelConfiguration{}
	for _, l := range append(bootstrap.MandatoryPriorityLevelConfigurations[:2:2], levels...) {
		objects[l.Name] = l
	}
	specs := map[string]*flowcontrolv1.PriorityLevelConfigurationSpec{}
	for name, l := range objects {
		specs[name] = &l.Spec
	}
	var next settings
	for name, b := range share(f.config.Total, specs) {
		l := f.levels[name]
		if l == nil {
			l = &level{name: name}
			f.levels[name] = l
		}
		l.configure(specs[name], b)
		next.levels = append(next.levels, l)
	}
	for name := range f.levels {
		// Requests that are inside, or wait, keep a level that has gone.
		if objects[name] == nil {
			delete(f.levels, name)
		}
	}
	named := map[string]*flowcontrolv1.FlowSchema{}
	for _, s := range append(bootstrap.MandatoryFlowSchemas[:2:2], schemas...) {
		named[s.Name] = s
	}
	for name, s := range named {
		l := f.levels[s.Spec.PriorityLevelConfiguration.Name]
		if l == nil {
			continue
		}
		c := f.counts[name]
		if c == nil {
			c = new(counts)
			f.counts[name] = c
		}
		x := &schema{
			name: name, uid: string(s.UID), precedence: s.Spec.MatchingPrecedence, rules: compile(&s.Spec),
			level: l, levelUID: string(objects[l.name].UID), counts: c,
		}
		if m := s.Spec.DistinguisherMethod; m != nil {
			x.method = m.Type
		}
		next.schemas = append(next.schemas, x)
		if name == flowcontrolv1.FlowSchemaNameCatchAll {
			next.rest = x
		}
	}
	for name := range f.counts {
		if named[name] == nil {
			delete(f.counts, name)
		}
	}
	sortSchemas(next.schemas)
	f.present.Store(&next)
}

// Ticket is a request that has its seats. Leave must be called, and may be called
// again.
type Ticket struct {
	// Schema and Level are the UIDs of the objects that decided.
	Schema, Level string

	fairness *Fairness
	level    *level
	waiter   *waiter
	since    time.Time
	left     atomic.Bool
}

// Request is what is asked of the server.
type Request struct {
	User *auth.User
	Info *request.Info
	// Query parses the query of the URL.
	Query func() url.Values
	// Count tells how many objects there are of the resource.
	Count func() int
}

// Enter waits until a request may be worked on. Its ticket says who decided, also
// where there is an error: that the request came once too often.
func (f *Fairness) Enter(ctx context.Context, r Request) (*Ticket, error) {
	present := f.present.Load()
	s := match(present.schemas, r.User, r.Info)
	if s == nil {
		s = present.rest
	}
	f.work()
	t := &Ticket{Schema: s.uid, Level: s.levelUID, fairness: f, level: s.level, since: time.Now()}
	hash := func() uint64 { return flowHash(s.name, s.flow(r.User, r.Info)) }
	w, err := s.level.enter(ctx, hash, width(r.Info, r.Query, r.Count), t.since, f.config.Patience)
	if err != nil {
		t.left.Store(true)
		s.counts.rejected(err)
		if ctx.Err() != nil {
			return t, ctx.Err()
		}
		return t, apierrors.NewTooManyRequests("Too many requests, please try again later.", 1)
	}
	if w.queue != nil {
		t.since = time.Now()
	}
	s.counts.dispatched.Add(1)
	t.waiter = w
	return t, nil
}

// Leave gives the seats back.
func (t *Ticket) Leave() {
	if !t.left.Swap(true) {
		t.level.leave(t.waiter, t.since, time.Now())
	}
}

// work wakes the lending of seats.
func (f *Fairness) work() {
	if f.working.Load() || f.working.Swap(true) {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Run lends seats, period by period while there is work, until ctx ends.
func (f *Fairness) Run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		timer := time.NewTimer(period)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		f.working.Store(false)
		f.lend(time.Now())
		for _, l := range f.present.Load().levels {
			if l.busy() {
				f.work()
				break
			}
		}
	}
}

// lend moves seats between levels by what they had to do. Exempt levels take what
// they like, and have no more than their share to lend.
func (f *Fairness) lend(now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	levels := f.present.Load().levels
	var limited []*level
	var wishes []wish
	total := f.config.Total
	for _, l := range levels {
		w := l.period(now)
		if l.exempt {
			total -= int(min(float64(w.nominal), w.smooth))
			continue
		}
		limited, wishes = append(limited, l), append(wishes, w)
	}
	for i, n := range lend(total, wishes) {
		limited[i].setLimit(n)
	}
}
