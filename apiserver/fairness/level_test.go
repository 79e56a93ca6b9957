package fairness

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"pgregory.net/rapid"

	"proa/apiserver/request"
	"proa/auth"
)

func levelOf(seats int, q *flowcontrolv1.QueuingConfiguration) *level {
	l := &level{name: "l"}
	spec := &flowcontrolv1.PriorityLevelConfigurationSpec{
		Type: flowcontrolv1.PriorityLevelEnablementLimited, Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{LimitResponse: flowcontrolv1.LimitResponse{Queuing: q}},
	}
	// A share so large that no request is narrowed.
	l.configure(spec, bounds{nominal: 1000})
	l.setLimit(seats)
	return l
}

func queuing(queues, hand, length int32) *flowcontrolv1.QueuingConfiguration {
	return &flowcontrolv1.QueuingConfiguration{Queues: queues, HandSize: hand, QueueLengthLimit: length}
}

// enter without waiting for what cannot be helped.
func (l *level) try(ctx context.Context, flow string, width int, patience time.Duration) (*waiter, error) {
	return l.enter(ctx, func() uint64 { return flowHash("s", flow) }, width, time.Now(), patience)
}

func TestSeatsAndQueues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := levelOf(2, queuing(1, 1, 2))
		a, err := l.try(t.Context(), "a", 1, time.Second)
		b, err2 := l.try(t.Context(), "b", 1, time.Second)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		began := time.Now()
		results := make(chan error, 4)
		for range 2 { // these wait in vain
			go func() { _, err := l.try(t.Context(), "c", 1, time.Second); results <- err }()
		}
		synctest.Wait()
		if _, err := l.try(t.Context(), "d", 1, time.Second); err != errQueueFull {
			t.Errorf("a full queue took a request: %v", err)
		}
		for range 2 {
			if err := <-results; err != errTimeOut {
				t.Errorf("a request that waited too long: %v", err)
			}
		}
		if time.Since(began) != time.Second {
			t.Errorf("it took %v", time.Since(began))
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, err := l.try(ctx, "e", 1, time.Minute); results <- err }()
		synctest.Wait()
		cancel()
		if err := <-results; err != errCancelled {
			t.Errorf("a request whose client has gone: %v", err)
		}
		// One that needs both seats is not overtaken by one that needs one.
		order := make(chan string, 2)
		for _, w := range []struct {
			name  string
			width int
		}{{"wide", 2}, {"narrow", 1}} {
			go func() {
				x, err := l.try(t.Context(), "f", w.width, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				order <- w.name
				l.leave(x, time.Now(), time.Now())
			}()
			synctest.Wait()
		}
		l.leave(a, began, time.Now())
		synctest.Wait()
		if len(order) != 0 {
			t.Error("a request overtook one that needs more seats")
		}
		l.leave(b, began, time.Now())
		if first, second := <-order, <-order; first != "wide" || second != "narrow" {
			t.Errorf("%s went before %s", first, second)
		}
		synctest.Wait()
		if s := l.state(); s.taken != 0 || s.inside != 0 || s.waiting != 0 || l.busy() {
			t.Errorf("seats have leaked: %+v", s)
		}
	})
}

func TestWithoutQueues(t *testing.T) {
	t.Parallel()
	l := levelOf(1, nil)
	w, err := l.try(t.Context(), "a", 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.try(t.Context(), "b", 1, time.Second); err != errLimit {
		t.Errorf("%v", err)
	}
	l.leave(w, time.Now(), time.Now())
	if _, err := l.try(t.Context(), "b", 1, time.Second); err != nil {
		t.Error(err)
	}
}

// What waits goes on waiting when the queues are replaced, and goes first.
func TestQueuesAreReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := levelOf(1, queuing(4, 2, 5))
		w, _ := l.try(t.Context(), "a", 1, time.Minute)
		order := make(chan string, 2)
		wait := func(name string) {
			go func() {
				x, err := l.try(t.Context(), name, 1, time.Minute)
				if err != nil {
					t.Error(err)
					return
				}
				order <- name
				l.leave(x, time.Now(), time.Now())
			}()
			synctest.Wait()
		}
		wait("before")
		l.configure(&flowcontrolv1.PriorityLevelConfigurationSpec{Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{
			LimitResponse: flowcontrolv1.LimitResponse{Queuing: queuing(8, 2, 5)},
		}}, l.bounds)
		wait("after")
		l.leave(w, time.Now(), time.Now())
		if a, b := <-order, <-order; a != "before" || b != "after" {
			t.Errorf("%s went before %s", a, b)
		}
	})
}

// A flow that sends a hundred requests at a time does not keep another from its
// half, though it is served request by request.
func TestFlowsShareEvenly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := levelOf(4, queuing(64, 1, 500))
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		served := map[string]int{}
		var clients sync.WaitGroup
		for flow, n := range map[string]int{"elephant": 100, "mouse": 8} {
			for range n {
				clients.Go(func() {
					for ctx.Err() == nil {
						w, err := l.try(ctx, flow, 1, time.Hour)
						if err != nil {
							continue
						}
						since := time.Now()
						time.Sleep(10 * time.Millisecond)
						l.leave(w, since, time.Now())
						mu.Lock()
						served[flow]++
						mu.Unlock()
					}
				})
			}
		}
		time.Sleep(10 * time.Second)
		cancel()
		clients.Wait()
		total := served["elephant"] + served["mouse"]
		if served["mouse"]*10 < total*4 || total < 3900 {
			t.Errorf("served: %v", served)
		}
	})
}

// Whatever comes and goes: no seat leaks, no more are taken than there are, no
// queue is longer than it may be, and nobody waits while there is room.
func TestNoSeatLeaks(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		seats, length := rapid.IntRange(1, 6).Draw(r, "seats"), rapid.IntRange(1, 4).Draw(r, "length")
		queues := rapid.IntRange(1, 5).Draw(r, "queues")
		steps := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) [3]int {
			return [3]int{rapid.IntRange(0, 9).Draw(r, "what"), rapid.IntRange(0, 5).Draw(r, "flow"), rapid.IntRange(1, 8).Draw(r, "width")}
		}), 1, 60).Draw(r, "steps")
		fail := ""
		synctest.Test(t, func(t *testing.T) {
			l := levelOf(seats, queuing(int32(queues), 1, int32(length)))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var mu sync.Mutex
			var inside []*waiter
			most := seats
			for _, s := range steps {
				switch {
				case s[0] < 6:
					go func() {
						if w, err := l.try(ctx, fmt.Sprint(s[1]), s[2], time.Duration(s[2])*time.Second); err == nil {
							mu.Lock()
							inside = append(inside, w)
							mu.Unlock()
						} else if !errors.Is(err, errQueueFull) && !errors.Is(err, errTimeOut) && !errors.Is(err, errCancelled) {
							fail = err.Error()
						}
					}()
				case s[0] < 8:
					mu.Lock()
					if len(inside) > 0 {
						l.leave(inside[0], time.Now(), time.Now())
						inside = inside[1:]
					}
					mu.Unlock()
				case s[0] == 8:
					l.setLimit(s[2])
					most = max(most, s[2])
				default:
					time.Sleep(time.Duration(s[2]) * time.Second)
				}
				synctest.Wait()
				l.mu.Lock()
				taken := 0
				for _, w := range inside {
					taken += w.width
				}
				next := l.queues.peek()
				switch {
				case taken != l.taken || len(inside) != l.inside:
					fail = fmt.Sprintf("%d seats are taken, and %d counted", taken, l.taken)
				case l.taken > most && len(inside) > 1:
					fail = fmt.Sprintf("%d seats of %d are taken", l.taken, most)
				case next != nil && (l.taken == 0 || l.taken+next.width <= l.limit):
					fail = "a request waits though there is room"
				}
				for _, q := range l.queues.used {
					if len(q.requests) > length {
						fail = "a queue is too long"
					}
				}
				l.mu.Unlock()
			}
			cancel()
			synctest.Wait()
			for _, w := range inside {
				l.leave(w, time.Now(), time.Now())
			}
			if s := l.state(); s.taken != 0 || s.inside != 0 || s.waiting != 0 || l.busy() {
				fail = fmt.Sprintf("in the end: %+v", s)
			}
		})
		if fail != "" {
			r.Fatal(fail)
		}
	})
}

func ask(user string, groups []string, verb, group, resource, namespace string) Request {
	return Request{
		User: &auth.User{Name: user, Groups: append(groups, auth.GroupAuthenticated)}, Query: func() url.Values { return nil }, Count: func() int { return 0 },
		Info: &request.Info{IsResource: true, Verb: verb, Group: group, Resource: resource, Namespace: namespace},
	}
}

// 500 greedy clients fill what is theirs, and the leases of nodes, the operator
// and a modest user get through; in the end there is nothing left over.
func TestGreedyClientsStarveNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := New(Config{Total: 20})
		ctx, cancel := context.WithCancel(t.Context())
		go f.Run(ctx)
		var clients sync.WaitGroup
		for i := range 500 {
			clients.Go(func() {
				r := ask(fmt.Sprintf("greedy-%d", i%5), nil, "list", "", "pods", "default")
				for ctx.Err() == nil {
					ticket, err := f.Enter(ctx, r)
					if err != nil {
						if !apierrors.IsTooManyRequests(err) && ctx.Err() == nil {
							t.Error(err)
						}
						time.Sleep(time.Second) // Retry-After
						continue
					}
					time.Sleep(200 * time.Millisecond)
					ticket.Leave()
				}
			})
		}
		time.Sleep(20 * time.Second)
		for _, r := range []Request{
			ask("system:node:n", []string{auth.GroupNodes}, "update", "coordination.k8s.io", "leases", "kube-node-lease"),
			ask("admin", []string{auth.GroupMasters}, "delete", "", "namespaces", ""),
			ask("modest", nil, "get", "", "pods", "default"),
		} {
			for range 50 {
				began := time.Now()
				ticket, err := f.Enter(ctx, r)
				if err != nil || time.Since(began) > 10*time.Second || r.User.Name != "modest" && time.Since(began) > time.Millisecond {
					t.Fatalf("%s waited %v: %v", r.User.Name, time.Since(began), err)
				}
				time.Sleep(10 * time.Millisecond)
				ticket.Leave()
			}
		}
		cancel()
		clients.Wait()
		for _, l := range f.present.Load().levels {
			if s := l.state(); s.taken != 0 || s.waiting != 0 {
				t.Errorf("%s: %+v", l.name, s)
			}
		}
	})
}

// A level that has nothing to do lends its seats to one that has, and gets them
// back when it needs them.
func TestSeatsAreLent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := New(Config{Total: 100, Patience: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		go f.Run(ctx)
		seats := func(name string) int { return f.levels[name].state().limit }
		before := seats("workload-low")
		var clients sync.WaitGroup
		for range 300 {
			clients.Go(func() {
				r := ask("system:serviceaccount:a:b", []string{auth.GroupServiceAccounts}, "get", "", "pods", "a")
				for ctx.Err() == nil {
					if ticket, err := f.Enter(ctx, r); err == nil {
						time.Sleep(time.Second)
						ticket.Leave()
					}
				}
			})
		}
		time.Sleep(time.Minute)
		if now := seats("workload-low"); now <= before {
			t.Errorf("a busy level has %d seats of %d after a minute", now, before)
		}
		if now, least := seats("global-default"), f.levels["global-default"].bounds.least; now < least {
			t.Errorf("an idle level has %d seats, fewer than %d", now, least)
		}
		cancel()
		clients.Wait()
	})
}

func TestMatch(t *testing.T) {
	t.Parallel()
	f := New(Config{Total: 600})
	f.Configure([]*flowcontrolv1.FlowSchema{
		{ObjectMeta: metav1.ObjectMeta{Name: "mine", UID: "s1"}, Spec: flowcontrolv1.FlowSchemaSpec{
			MatchingPrecedence: 500, PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: "level"},
			DistinguisherMethod: &flowcontrolv1.FlowDistinguisherMethod{Type: flowcontrolv1.FlowDistinguisherMethodByNamespaceType},
			Rules: []flowcontrolv1.PolicyRulesWithSubjects{{
				Subjects: []flowcontrolv1.Subject{
					{Kind: "ServiceAccount", ServiceAccount: &flowcontrolv1.ServiceAccountSubject{Namespace: "a", Name: "*"}},
					{Kind: "User", User: &flowcontrolv1.UserSubject{Name: "u"}},
				},
				ResourceRules: []flowcontrolv1.ResourcePolicyRule{
					{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods", "pods/status"}, Namespaces: []string{"x"}},
					{Verbs: []string{"*"}, APIGroups: []string{"apps"}, Resources: []string{"*"}, ClusterScope: true},
				},
				NonResourceRules: []flowcontrolv1.NonResourcePolicyRule{{Verbs: []string{"get"}, NonResourceURLs: []string{"/metrics", "/logs/*"}}},
			}},
		}},
		{ObjectMeta: metav1.ObjectMeta{Name: "dangling"}, Spec: flowcontrolv1.FlowSchemaSpec{
			MatchingPrecedence: 2, PriorityLevelConfiguration: flowcontrolv1.PriorityLevelConfigurationReference{Name: "none"},
			Rules: []flowcontrolv1.PolicyRulesWithSubjects{{Subjects: []flowcontrolv1.Subject{{Kind: "User", User: &flowcontrolv1.UserSubject{Name: "*"}}},
				ResourceRules: []flowcontrolv1.ResourcePolicyRule{{Verbs: []string{"*"}, APIGroups: []string{"*"}, Resources: []string{"*"}, Namespaces: []string{"*"}, ClusterScope: true}}}},
		}},
	}, []*flowcontrolv1.PriorityLevelConfiguration{{ObjectMeta: metav1.ObjectMeta{Name: "level", UID: "l1"}, Spec: flowcontrolv1.PriorityLevelConfigurationSpec{
		Type: flowcontrolv1.PriorityLevelEnablementLimited, Limited: &flowcontrolv1.LimitedPriorityLevelConfiguration{NominalConcurrencyShares: ptr.To(int32(5))},
	}}})
	const account = "system:serviceaccount:a:b"
	resource := func(user, verb, group, resource, sub, ns string) Request {
		r := ask(user, nil, verb, group, resource, ns)
		r.Info.Subresource = sub
		return r
	}
	path := func(user, verb, path string) Request {
		r := ask(user, nil, verb, "", "", "")
		*r.Info = request.Info{Verb: verb, Path: path}
		return r
	}
	for name, c := range map[string]struct {
		r    Request
		want bool
	}{
		"pods of an account":         {resource(account, "get", "", "pods", "", "x"), true},
		"pods of the user":           {resource("u", "get", "", "pods", "", "x"), true},
		"status":                     {resource("u", "get", "", "pods", "status", "x"), true},
		"log":                        {resource("u", "get", "", "pods", "log", "x"), false},
		"other namespace":            {resource("u", "get", "", "pods", "", "y"), false},
		"all namespaces":             {resource("u", "get", "", "pods", "", ""), false},
		"other verb":                 {resource("u", "list", "", "pods", "", "x"), false},
		"other user":                 {resource("v", "get", "", "pods", "", "x"), false},
		"account of other namespace": {resource("system:serviceaccount:ab:b", "get", "", "pods", "", "x"), false},
		"whole cluster":              {resource("u", "list", "apps", "deployments", "scale", ""), true},
		"not whole cluster":          {resource("u", "list", "apps", "deployments", "", "x"), false},
		"path":                       {path("u", "get", "/metrics"), true},
		"path below":                 {path("u", "get", "/logs/a/b"), true},
		"path beside":                {path("u", "get", "/metrics/x"), false},
	} {
		ticket, err := f.Enter(t.Context(), c.r)
		if err != nil {
			t.Fatal(err)
		}
		ticket.Leave()
		ticket.Leave() // once is enough
		if got := ticket.Schema == "s1" && ticket.Level == "l1"; got != c.want {
			t.Errorf("%s: schema %q, level %q", name, ticket.Schema, ticket.Level)
		}
	}
	if s := f.levels["level"].state(); s.taken != 0 {
		t.Errorf("seats have leaked: %+v", s)
	}
}

func TestWidth(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		info  request.Info
		query string
		want  int
	}{
		"get":                  {request.Info{Verb: "get"}, "", 1},
		"list":                 {request.Info{Verb: "list"}, "", 5},
		"page":                 {request.Info{Verb: "list"}, "limit=150", 2},
		"one of a list":        {request.Info{Verb: "list", Name: "a"}, "", 1},
		"watch from now":       {request.Info{Verb: "watch"}, "resourceVersion=5", 1},
		"watch with all":       {request.Info{Verb: "watch"}, "", 5},
		"watch with list":      {request.Info{Verb: "watch"}, "resourceVersion=5&sendInitialEvents=true", 5},
		"list with a bad page": {request.Info{Verb: "list"}, "limit=x", 5},
	} {
		q, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		if got := width(&c.info, func() url.Values { return q }, func() int { return 450 }); got != c.want {
			t.Errorf("%s: %d seats", name, got)
		}
	}
	if got := width(&request.Info{Verb: "list"}, func() url.Values { return nil }, func() int { return 1_000_000 }); got != mostSeats {
		t.Errorf("a large list takes %d seats", got)
	}
}

// BenchmarkEnter is what a request costs where there is no contention.
func BenchmarkEnter(b *testing.B) {
	f := New(Config{Total: 600})
	r := ask("system:serviceaccount:a:b", []string{auth.GroupServiceAccounts, "system:serviceaccounts:a"}, "get", "", "pods", "a")
	ctx := b.Context()
	b.ReportAllocs()
	for b.Loop() {
		t, err := f.Enter(ctx, r)
		if err != nil {
			b.Fatal(err)
		}
		t.Leave()
	}
}
