package managed

import (
	"reflect"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/resource"
)

// maxUpdaters is how many managers may have entries for updates; past it, the
// library folds the oldest into one.
const maxUpdaters = 10

// fast records a change as [Tracker.Update] does, without the generic trees of
// the library. It reports false, and changes nothing, where the library must do
// it: for kinds or objects that it cannot compare, and for histories with more
// than one version or many managers.
func (t *Tracker) fast(s *state, subresource string, live, obj resource.Object, manager string, now metav1.Time) bool {
	n := s.node
	if n == nil {
		return false
	}
	before, ok := history(subresource, live, obj)
	if !ok {
		return false
	}
	if len(before) == 0 && live.GetUID() != "" {
		// An object that nobody has tracked from its beginning stays so.
		obj.SetManagedFields(nil)
		return true
	}
	for i := range before {
		if before[i].APIVersion != s.version || before[i].FieldsType != "FieldsV1" {
			return false
		}
	}
	diff, ok := compare(n, reflect.ValueOf(live).Elem(), reflect.ValueOf(obj).Elem())
	if !ok {
		return false
	}
	if diff.empty() {
		obj.SetManagedFields(before)
		return true
	}
	after, ok := t.reassign(before, diff, metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationUpdate, APIVersion: s.version, Subresource: subresource,
		FieldsType: "FieldsV1", Time: &now,
	})
	if !ok {
		return false
	}
	obj.SetManagedFields(after)
	return true
}

// history is the managed fields before the write: those of the live object, or
// what the client has sent in their place.
func history(subresource string, live, obj resource.Object) ([]metav1.ManagedFieldsEntry, bool) {
	mine := obj.GetManagedFields()
	if subresource != "" {
		return live.GetManagedFields(), true
	}
	if mine == nil {
		return live.GetManagedFields(), true
	}
	was := live.GetManagedFields()
	if len(mine) != len(was) {
		return nil, false // a client that edits them: rare, and for the library
	}
	for i := range mine {
		if !sameEntry(&mine[i], &was[i]) {
			return nil, false
		}
	}
	return was, len(was) > 0
}

func sameEntry(a, b *metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion &&
		a.Subresource == b.Subresource && a.FieldsType == b.FieldsType && a.Time.Equal(b.Time) &&
		a.FieldsV1.GetRawString() == b.FieldsV1.GetRawString()
}

// reassign takes the changed fields from those who had them, and gives them to
// the one who changed them.
func (t *Tracker) reassign(before []metav1.ManagedFieldsEntry, diff *difference, mine metav1.ManagedFieldsEntry) ([]metav1.ManagedFieldsEntry, bool) {
	if mine.Manager == "" {
		mine.Manager = "unknown"
	}
	changed := diff.modified.Union(diff.added)
	own := changed
	updaters := 1
	after := make([]metav1.ManagedFieldsEntry, 0, len(before)+1)
	for i := range before {
		e := before[i]
		had, err := t.sets.parse(&e)
		if err != nil {
			return nil, false
		}
		left := had
		if !had.Intersection(changed).Empty() {
			left = left.Difference(changed)
		}
		if !diff.removed.Empty() {
			left = left.Difference(diff.removed)
		}
		if same(&e, &mine) {
			own = own.Union(left)
			continue
		}
		if left.Empty() {
			continue
		}
		if e.Operation == metav1.ManagedFieldsOperationUpdate {
			updaters++
		}
		if left != had && !left.Equals(had) {
			fields, err := encodeSet(left)
			if err != nil {
				return nil, false
			}
			e.FieldsV1 = fields
		}
		after = append(after, e)
	}
	if updaters > maxUpdaters {
		return nil, false
	}
	if changed.Empty() {
		// Fields were only taken away. Whoever does that owns nothing by it;
		// what it had stays as it is, less what has gone.
		for i := range before {
			if e := before[i]; same(&e, &mine) && !own.Empty() {
				fields, err := encodeSet(own)
				if err != nil {
					return nil, false
				}
				e.FieldsV1 = fields
				after = append(after, e)
			}
		}
	} else {
		fields, err := encodeSet(own)
		if err != nil {
			return nil, false
		}
		mine.FieldsV1 = fields
		after = append(after, mine)
	}
	sortEntries(after)
	return after, true
}

func same(a, b *metav1.ManagedFieldsEntry) bool {
	return a.Manager == b.Manager && a.Operation == b.Operation && a.APIVersion == b.APIVersion && a.Subresource == b.Subresource
}

// sortEntries puts entries in upstream's order.
func sortEntries(entries []metav1.ManagedFieldsEntry) {
	seconds := func(t *metav1.Time) int64 {
		if t == nil {
			return 0
		}
		return t.Unix()
	}
	slices.SortFunc(entries, func(a, b metav1.ManagedFieldsEntry) int {
		if c := strings.Compare(string(a.Operation), string(b.Operation)); c != 0 {
			return c
		}
		if x, y := seconds(a.Time), seconds(b.Time); x != y {
			if x < y {
				return -1
			}
			return 1
		}
		if c := strings.Compare(a.Manager, b.Manager); c != 0 {
			return c
		}
		if c := strings.Compare(a.APIVersion, b.APIVersion); c != 0 {
			return c
		}
		return strings.Compare(a.Subresource, b.Subresource)
	})
}
