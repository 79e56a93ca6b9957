package storetest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"proa/store"
)

// testModel makes random writes and compares every answer, every past list and
// every watch with a model that keeps all states.
func testModel(t *testing.T, s store.Store, root string, histories int) {
	run := 0
	rapid.Check(t, func(r *rapid.T) {
		run++
		if run > histories && !t.Failed() {
			return
		}
		m := &model{t: t, r: r, s: s, root: fmt.Sprintf("%s%d/", root, run), live: map[string]store.KV{}}
		m.first = ok[int64](t)(s.Revision(t.Context()))
		m.states = []map[string]string{{}}
		for range rapid.IntRange(5, 25).Draw(r, "operations") {
			m.write()
		}
		m.lists()
		m.watches()
	})
}

type model struct {
	t    *testing.T
	r    *rapid.T
	s    store.Store
	root string

	first  int64 // revision before the first write
	live   map[string]store.KV
	states []map[string]string // keys and values after each write
	events []string
}

func (m *model) write() {
	ctx := m.t.Context()
	key := m.root + rapid.SampledFrom([]string{"a", "b", "c/d", "c/e"}).Draw(m.r, "key")
	value := rapid.StringMatching(`[a-z]{1,4}`).Draw(m.r, "value")
	was, exists := m.live[key]
	rev := was.ModRevision - int64(rapid.IntRange(0, 3).Draw(m.r, "stale"))/3
	var kv store.KV
	var err, want error
	what := rapid.SampledFrom([]string{"+", "~", "-"}).Draw(m.r, "operation")
	switch what {
	case "+":
		kv, err = m.s.Create(ctx, key, []byte(value), 0)
		if exists {
			want = store.ErrExists
		}
	case "~":
		kv, err = m.s.Update(ctx, key, []byte(value), rev, 0)
	case "-":
		kv, err = m.s.Delete(ctx, key, rev)
	}
	switch {
	case what != "+" && !exists:
		want = store.ErrNotFound
	case what != "+" && rev != was.ModRevision:
		want = store.ErrConflict
	}
	if want != nil {
		if !errors.Is(err, want) || exists && (kv.ModRevision != was.ModRevision || string(kv.Value) != string(was.Value)) {
			m.r.Fatalf("%s %s at %d: %+v, %v; want %v with %+v", what, key, rev, kv, err, want, was)
		}
		return
	}
	if err != nil || kv.ModRevision != m.first+int64(len(m.states)) {
		m.r.Fatalf("%s %s: %+v, %v; want revision %d", what, key, kv, err, m.first+int64(len(m.states)))
	}
	state := map[string]string{}
	for k, v := range m.states[len(m.states)-1] {
		state[k] = v
	}
	if what == "-" {
		delete(m.live, key)
		delete(state, key)
		value = ""
	} else {
		kv.CreateRevision = kv.ModRevision
		if exists {
			kv.CreateRevision = was.CreateRevision
		}
		m.live[key] = kv
		state[key] = value
	}
	m.states = append(m.states, state)
	m.events = append(m.events, fmt.Sprintf("%s%s=%s@%d", what, key, value, kv.ModRevision))
}

func (m *model) lists() {
	for i, state := range m.states {
		prefix := m.root + rapid.SampledFrom([]string{"", "c", "c/"}).Draw(m.r, "prefix")
		res, err := m.s.List(m.t.Context(), prefix, store.ListOptions{Revision: m.first + int64(i)})
		if err != nil {
			m.r.Fatal(err)
		}
		var got, want []string
		for _, kv := range res.KVs {
			got = append(got, kv.Key+"="+string(kv.Value))
		}
		for k, v := range state {
			if strings.HasPrefix(k, prefix) {
				want = append(want, k+"="+v)
			}
		}
		slices.Sort(want)
		if !slices.Equal(got, want) || res.Count != int64(len(want)) {
			m.r.Fatalf("list of %s at +%d: %v, want %v", prefix, i, got, want)
		}
	}
}

func (m *model) watches() {
	from := rapid.IntRange(0, len(m.events)).Draw(m.r, "watch from")
	w, err := m.s.Watch(m.t.Context(), m.root, m.first+int64(from))
	if err != nil {
		m.r.Fatal(err)
	}
	defer w.Stop()
	var got []string
	for _, ev := range collect(m.t, w, len(m.events)-from) {
		what := "~"
		switch {
		case ev.Deleted:
			what = "-"
		case ev.Created:
			what = "+"
		}
		got = append(got, fmt.Sprintf("%s%s=%s@%d", what, ev.KV.Key, ev.KV.Value, ev.KV.ModRevision))
	}
	if !slices.Equal(got, m.events[from:]) {
		m.r.Fatalf("watch from +%d: %v, want %v", from, got, m.events[from:])
	}
}
