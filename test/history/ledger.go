package history

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// Ledger is a few config maps that clients read and write by compare-and-swap,
// and the history of what they were told.
type Ledger struct {
	// Seed decides what each client does, and Pause is the most that it waits
	// before it does.
	Seed  uint64
	Pause time.Duration
	Failf func(format string, args ...any)

	began   time.Time
	mu      sync.Mutex
	history []porcupine.Operation
	next    int // makes every written value another
}

// LedgerSpace is the namespace of the config maps, and of nothing else.
const LedgerSpace = "ledger"

// LedgerClients is how many clients make a ledger interesting.
const LedgerClients = 4

const ledgerPages = 3

// entry is one operation on a page: a read, or a write of value where the page
// says old.
type entry struct {
	page       string
	write      bool
	old, value string
}

// outcome is what was told of it.
type outcome struct {
	value string // that was read
	known bool
	done  bool // of a write: it was made
}

// model is a register that can be read and compared-and-swapped.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		pages := map[string][]porcupine.Operation{}
		for _, op := range history {
			p := op.Input.(entry).page
			pages[p] = append(pages[p], op)
		}
		out := make([][]porcupine.Operation, 0, len(pages))
		for _, p := range pages {
			out = append(out, p)
		}
		return out
	},
	Init: func() any { return "" },
	Step: func(state, input, output any) (bool, any) {
		is, e, o := state.(string), input.(entry), output.(outcome)
		switch {
		case !e.write:
			return o.value == is, is
		case o.known && o.done:
			return e.old == is, e.value
		case o.known:
			return e.old != is, is
		case e.old == is:
			// Its outcome is not known. That it was not made is the same as
			// that it is made after everything else.
			return true, e.value
		default:
			return true, is
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%+v → %+v", input, output) },
}

// Open makes the pages. An attempt that was told nothing may have made some.
func (l *Ledger) Open(ctx context.Context, k kubernetes.Interface) error {
	if l.began.IsZero() {
		l.began = time.Now()
	}
	if _, err := k.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: LedgerSpace}}, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	for i := range ledgerPages {
		page := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("page-%d", i)}}
		if _, err := k.CoreV1().ConfigMaps(LedgerSpace).Create(ctx, page, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
			return err
		}
	}
	return nil
}

// Run reads and writes as one client until ctx ends.
func (l *Ledger) Run(ctx context.Context, id int, k kubernetes.Interface) {
	r := rand.New(rand.NewPCG(l.Seed, 200+uint64(id)))
	pages := k.CoreV1().ConfigMaps(LedgerSpace)
	var seen *v1.ConfigMap
	for wait(ctx, time.Duration(r.Int64N(int64(l.Pause)))) == nil {
		page := fmt.Sprintf("page-%d", r.IntN(ledgerPages))
		if seen != nil && seen.Name == page && r.IntN(2) == 0 {
			l.swap(ctx, id, k, seen)
			seen = nil
			continue
		}
		call := l.now()
		var got *v1.ConfigMap
		var err error
		if r.IntN(3) == 0 {
			got, err = readByList(ctx, k, page)
		} else {
			got, err = pages.Get(ctx, page, metav1.GetOptions{})
		}
		if err != nil {
			continue // nothing was read
		}
		l.record(id, call, l.now(), entry{page: page}, outcome{known: true, value: got.Data["value"]})
		seen = got
	}
}

// readByList reads a page by a list, which is as fresh as a get.
func readByList(ctx context.Context, k kubernetes.Interface, page string) (*v1.ConfigMap, error) {
	list, err := k.CoreV1().ConfigMaps(LedgerSpace).List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + page})
	if err != nil {
		return nil, err
	}
	if len(list.Items) != 1 {
		return nil, fmt.Errorf("%d pages are called %s", len(list.Items), page)
	}
	return &list.Items[0], nil
}

func (l *Ledger) swap(ctx context.Context, id int, k kubernetes.Interface, seen *v1.ConfigMap) {
	e := entry{page: seen.Name, write: true, old: seen.Data["value"]}
	l.mu.Lock()
	l.next++
	e.value = fmt.Sprint(l.next)
	l.mu.Unlock()
	write := seen.DeepCopy()
	write.Data = map[string]string{"value": e.value}
	call := l.now()
	_, err := k.CoreV1().ConfigMaps(LedgerSpace).Update(ctx, write, metav1.UpdateOptions{})
	switch {
	case err == nil:
		l.record(id, call, l.now(), e, outcome{known: true, done: true})
	case apierrors.IsConflict(err):
		l.record(id, call, l.now(), e, outcome{known: true})
	default:
		l.record(id, call, 1<<62, e, outcome{})
	}
}

func (l *Ledger) now() int64 { return int64(time.Since(l.began)) }

func (l *Ledger) record(id int, call, end int64, e entry, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = append(l.history, porcupine.Operation{ClientId: id, Input: e, Call: call, Output: o, Return: end})
}

// Check reports a history that no register could have had.
func (l *Ledger) Check() {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch porcupine.CheckOperationsTimeout(model, l.history, time.Minute) {
	case porcupine.Illegal:
		l.Failf("%d reads and writes of the ledger are not linearizable", len(l.history))
	case porcupine.Unknown:
		l.Failf("whether %d reads and writes of the ledger are linearizable could not be found out in a minute", len(l.history))
	}
}

// wait returns an error when ctx ends first.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
