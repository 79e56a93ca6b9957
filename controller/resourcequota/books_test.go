package resourcequota

import (
	"math/rand/v2"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"proa/controller"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	q := func(hard, statusHard, used v1.ResourceList) *v1.ResourceQuota {
		return &v1.ResourceQuota{Spec: v1.ResourceQuotaSpec{Hard: hard}, Status: v1.ResourceQuotaStatus{Hard: statusHard, Used: used}}
	}
	five := list("pods", "5")
	complete := func(s statement) statement { s.complete = true; return s }
	tests := map[string]struct {
		q       *v1.ResourceQuota
		counted v1.ResourceList
		s       statement
		want    v1.ResourceList // nil for no change
		counts  bool
		above   bool
	}{
		"new":                  {q(five, nil, nil), list("pods", "2"), statement{}, list("pods", "2"), true, false},
		"right":                {q(five, five, list("pods", "2")), list("pods", "2"), statement{}, nil, false, false},
		"other writing":        {q(list("cpu", "1"), list("cpu", "1000m"), list("cpu", "500m")), list("cpu", "0.5"), statement{}, nil, false, false},
		"more":                 {q(five, five, list("pods", "2")), list("pods", "3"), statement{}, list("pods", "3"), true, false},
		"perhaps under way":    {q(five, five, list("pods", "2")), nil, statement{}, nil, false, true},
		"seen to go":           {q(five, five, list("pods", "3")), list("pods", "1"), statement{credit: list("pods", "1")}, list("pods", "2"), false, true},
		"more seen than known": {q(five, five, list("pods", "2")), list("pods", "1"), statement{credit: list("pods", "2")}, list("pods", "1"), false, false},
		"nothing under way":    {q(five, five, list("pods", "2")), nil, complete(statement{}), list("pods", "0"), true, false},
		"some pending":         {q(five, five, list("pods", "4")), list("pods", "1"), complete(statement{pending: list("pods", "2")}), list("pods", "3"), true, true},
		"all pending":          {q(five, five, list("pods", "2")), nil, complete(statement{pending: list("pods", "2")}), nil, false, true},
		"hard changed":         {q(five, list("pods", "4"), list("pods", "2")), list("pods", "2"), statement{}, list("pods", "2"), false, false},
		"name gone":            {q(five, list("pods", "5", "cpu", "1"), list("pods", "2", "cpu", "1")), list("pods", "2"), statement{}, list("pods", "2"), false, false},
	}
	for name, test := range tests {
		p := decide(test.q, test.counted, test.s)
		if (p.next != nil) != (test.want != nil) || p.counted != test.counts || p.above != test.above {
			t.Errorf("%s: changed=%v %+v", name, p.next != nil, p)
			continue
		}
		if p.next == nil {
			continue
		}
		for n, want := range test.want {
			if got := p.next.Status.Used[n]; got.Cmp(want) != 0 || len(p.next.Status.Used) != len(test.want) {
				t.Errorf("%s: %v", name, p.next.Status.Used)
			}
		}
	}
}

// Whatever comes when, the usage is never less than what is stored and what has been
// charged for and is on its way; and in the end it is what is stored.
func TestNeverTooLow(t *testing.T) {
	t.Parallel()
	k := controller.Key{Name: "q"}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		b, now := books{accounts: map[controller.Key]*account{}}, time.Unix(0, 0)
		q := &v1.ResourceQuota{Spec: v1.ResourceQuotaSpec{Hard: list("pods", "1000")}}
		pods := func(n int) v1.ResourceList {
			return v1.ResourceList{v1.ResourcePods: *resource.NewQuantity(int64(n), resource.DecimalSI)}
		}
		used := func() int { u := q.Status.Used[v1.ResourcePods]; return int(u.Value()) }
		stored := 0
		var flying []time.Time // by when each is stored, or has failed
		look := func() {
			if p := decide(q, pods(stored), b.read(k, now)); p.next != nil {
				s := b.read(k, now)
				if used := p.next.Status.Used; len(increase(q.Status.Used, used)) > 0 {
					b.charged(k, increase(q.Status.Used, used), now)
				}
				q = p.next
				b.settle(k, s.credit, p.counted, now)
			}
		}
		look()
		for range 400 {
			now = now.Add(time.Duration(r.IntN(800)) * time.Millisecond)
			for i := 0; i < len(flying); i++ {
				if !flying[i].After(now) {
					flying = append(flying[:i], flying[i+1:]...)
					i--
					if r.IntN(10) > 0 { // the others come to nothing
						stored++
					}
				}
			}
			switch r.IntN(4) {
			case 0:
				next := q.DeepCopy()
				next.Status.Used = pods(used() + 1)
				q = next
				b.charged(k, pods(1), now)
				flying = append(flying, now.Add(time.Duration(r.Int64N(int64(underway)))))
			case 1:
				if stored > 0 {
					stored--
					b.credit(k, pods(1), now)
				}
			default:
				look()
			}
			if least := stored + len(flying); used() < least {
				t.Fatalf("seed %d: %d are used, and %d are stored or on their way", seed, used(), least)
			}
		}
		stored += len(flying)
		for range 3 {
			now = now.Add(underway + unsure)
			look()
		}
		if used() != stored {
			t.Fatalf("seed %d: %d are used in the end, and %d are stored", seed, used(), stored)
		}
	}
}

// What is deleted is given back at once, however much is going on.
func TestGivesBackAtOnce(t *testing.T) {
	t.Parallel()
	k, now := controller.Key{Name: "q"}, time.Unix(0, 0)
	b := books{accounts: map[controller.Key]*account{}}
	q := &v1.ResourceQuota{Spec: v1.ResourceQuotaSpec{Hard: list("pods", "5")}, Status: v1.ResourceQuotaStatus{Hard: list("pods", "5"), Used: list("pods", "5")}}
	b.charged(k, list("pods", "1"), now)
	b.credit(k, list("pods", "2"), now)
	p := decide(q, list("pods", "2"), b.read(k, now))
	if p.next == nil {
		t.Fatal("nothing is given back")
	}
	if got := p.next.Status.Used[v1.ResourcePods]; got.Value() != 3 || !p.above {
		t.Errorf("used is %v", p.next.Status.Used)
	}
	b.settle(k, list("pods", "2"), p.counted, now)
	if s := b.read(k, now); len(s.credit) != 0 {
		t.Errorf("%v is given back twice", s.credit)
	}
}
