package simulate

import (
	"slices"

	v1 "k8s.io/api/core/v1"

	"proa/test/history"
)

// checkWatch holds what a watcher was told against what was written. Where the
// control plane itself had to list anew, it tells of the difference only.
func (w *world) checkWatch(x *history.Watcher) {
	a := w.audit
	a.mu.Lock()
	defer a.mu.Unlock()
	root := customRoot(boatsResource)
	if x.Resource != boatsResource.Resource {
		root = definition(v1.SchemeGroupVersion.WithResource(x.Resource)).Root()
	}
	written := a.changes[root]
	for _, s := range x.Segments() {
		told := make([]change, 0, len(s.Events))
		for _, e := range s.Events {
			told = append(told, change{rev: e.Rev, key: root + e.Namespace + "/" + e.Name, deleted: e.Deleted})
		}
		for _, c := range written {
			if c.rev <= s.After || c.rev > s.UpTo || a.inGap(c.rev) {
				continue
			}
			for len(told) > 0 && told[0].rev < c.rev && a.inGap(told[0].rev) {
				told = told[1:]
			}
			if len(told) == 0 || told[0] != c {
				w.failf("a watch of %s from %d to %d was not told of %s at %d, but of %v", x.Resource, s.After, s.UpTo, c.key, c.rev, told[:min(1, len(told))])
				return
			}
			told = told[1:]
		}
		told = slices.DeleteFunc(told, func(c change) bool { return a.inGap(c.rev) })
		if len(told) > 0 {
			w.failf("a watch of %s was told of %v, which was not written", x.Resource, told[0])
		}
	}
}

// inGap reports whether the control plane may not have seen a revision.
func (a *audit) inGap(rev int64) bool {
	return slices.ContainsFunc(a.gaps, func(g gap) bool { return rev > g.after && rev <= g.upTo })
}
