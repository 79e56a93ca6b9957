package policy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/knftables"
)

// kernel is a fake one. It tells of each transaction, refuses them when it is told
// to, and panics on one during which packets would slip through a real one.
type kernel struct {
	tables [2]*knftables.Fake
	ran    chan struct{} // has room for one

	mu   sync.Mutex
	fail error // of all transactions
	// What a transaction fails with that comes after so many others; late is when
	// it is done all the same.
	once   error
	before int
	late   bool
}

func newKernel() *kernel {
	return &kernel{
		tables: [2]*knftables.Fake{knftables.NewFake(knftables.InetFamily, DefaultTable), knftables.NewFake(knftables.InetFamily, DefaultTable+"-2")},
		ran:    make(chan struct{}, 1),
	}
}

func (k *kernel) places() places {
	return places{fakePlace{k.tables[0], k, 0}, fakePlace{k.tables[1], k, 1}}
}

// fakePlace is where one of the kernel's tables is.
type fakePlace struct {
	*knftables.Fake
	kernel *kernel
	at     int
}

func (p fakePlace) Run(ctx context.Context, tx *knftables.Transaction) error {
	err := p.kernel.run(ctx, p.at, tx)
	select {
	case p.kernel.ran <- struct{}{}:
	default:
	}
	return err
}

func (k *kernel) run(ctx context.Context, at int, tx *knftables.Transaction) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return k.fail
	}
	var failure error
	if k.once != nil {
		if k.before--; k.before < 0 {
			failure, k.once = k.once, nil
		}
	}
	if failure != nil && !k.late {
		return failure
	}
	old := k.tables[at].Table
	if err := k.tables[at].Run(ctx, tx); err != nil {
		return err
	}
	if k.tables[1-at].Table == nil {
		if why := slips(old, k.tables[at].Table); why != "" {
			panic(fmt.Sprintf("packets slip through: %s, by\n%s", why, tx))
		}
	}
	return failure
}

// slips tells how packets would slip through while a table that judges alone
// becomes another, if they would.
func slips(old, next *knftables.FakeTable) string {
	if old == nil || next == nil {
		return ""
	}
	for name, c := range old.Chains {
		if after := next.Chains[name]; c.Hook != nil && (after == nil || *after.Handle != *c.Handle) {
			return "base chain " + name + " is another"
		}
	}
	for name, m := range old.Maps {
		for _, e := range next.Maps[name].Elements {
			chain := strings.TrimPrefix(e.Value[0], jump)
			if m.FindElement(e.Key...) != nil && old.Chains[chain] == nil {
				return fmt.Sprintf("%s %s leads to %s, which was not there", name, e.Key, chain)
			}
		}
	}
	return ""
}

func (k *kernel) refuse(err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.fail = err
}

// failOnce lets a transaction fail that comes after so many others, before or
// after it is done.
func (k *kernel) failOnce(err error, before int, late bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.once, k.before, k.late = err, before, late
}

// passes tells whether a packet gets through a hook.
func (k *kernel) passes(hook string, p packet) bool {
	return passes(k.tables[0], hook, p) && passes(k.tables[1], hook, p)
}

// present are the places where there is a table.
func (k *kernel) present() []int {
	var out []int
	for at, nft := range k.tables {
		nft.RLock()
		if nft.Table != nil {
			out = append(out, at)
		}
		nft.RUnlock()
	}
	return out
}

// dump is what the tables hold, wherever they are.
func (k *kernel) dump() string {
	return strings.ReplaceAll(k.tables[0].Dump()+k.tables[1].Dump(), " "+DefaultTable+"-2 ", " "+DefaultTable+" ")
}

// lines are those of dump, which have no order.
func (k *kernel) lines() []string {
	return slices.Sorted(slices.Values(strings.Split(k.dump(), "\n")))
}

// isolated is the state of a node with a pod that takes connections to one port.
func isolated(k *kernel, port int32) *state {
	s := newState(newTable(k.places(), ""))
	name := types.NamespacedName{Namespace: "x", Name: "a"}
	s.setPod(name, &Pod{NamespacedName: name, Local: true, Addrs: addrs(2)})
	s.takePort(port)
	return s
}

// takePort replaces the policy; 0 takes it away.
func (s *state) takePort(port int32) {
	name := types.NamespacedName{Namespace: "x", Name: "p"}
	if port == 0 {
		s.setPolicy(name, nil)
		return
	}
	s.setPolicy(name, Compile(&networkingv1.NetworkPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
		Spec: networkingv1.NetworkPolicySpec{
			PolicyTypes: []networkingv1.PolicyType{networkingv1.PolicyTypeIngress},
			Ingress:     []networkingv1.NetworkPolicyIngressRule{{Ports: []networkingv1.NetworkPolicyPort{{Port: new(intstr.FromInt32(port))}}}},
		},
	}))
}

func toPort(port int) packet {
	return packet{netip.MustParseAddr(outside), addrs(2)[0], "tcp", port}
}

// Whatever a process leaves that ends, and whichever transaction of the next one
// fails, no packet slips through, and one table remains, with all that shall be.
func TestRecovery(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	cold := newKernel()
	if err := isolated(cold, 81).table.apply(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, left := range [][]int{{}, {0}, {1}, {0, 1}} {
		for _, late := range []bool{false, true} {
			failed := true
			for before := 0; failed; before++ {
				name := fmt.Sprintf("left %v, failure after %d transactions, late: %v", left, before, late)
				k := newKernel()
				for _, at := range left {
					former := isolated(k, 80).table
					if err := former.places.run(t.Context(), at, former.whole); err != nil {
						t.Fatal(err)
					}
				}
				s := isolated(k, 80)
				k.failOnce(refused, before, late)
				failed = false
				apply := func() {
					t.Helper()
					err := s.table.apply(t.Context())
					if errors.Is(err, refused) {
						failed = true
						if len(left) > 0 && len(s.table.chains) > 0 && k.passes("forward", toPort(82)) {
							t.Errorf("%s: a packet passes after the failure", name)
						}
						err = s.table.apply(t.Context())
					}
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
				apply()
				s.takePort(81) // in two transactions
				apply()
				if got, want := k.lines(), cold.lines(); !slices.Equal(got, want) {
					t.Errorf("%s: the tables at %v hold\n%s\nnot\n%s", name, k.present(), strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if !k.passes("forward", toPort(81)) || k.passes("forward", toPort(80)) {
					t.Errorf("%s: the rules are not those of the last policy", name)
				}
				s.takePort(0)
				apply()
				if at := k.present(); at != nil {
					t.Errorf("%s: without policies there are tables at %v", name, at)
				}
			}
		}
	}
}
