package resourcequota

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"proa/admission/resourcequota/usage"
	"proa/resource"
)

// charge is what one write takes from the quotas of its namespace.
type charge struct {
	of  schema.GroupResource
	obj resource.Object
	// old is the object before an update, whose part is paid already.
	old resource.Object
	// paid names the quotas that have been charged already.
	paid map[string]bool
}

// decide charges a request to all quotas that it concerns, or to none. It
// returns those that change, as copies with their new usage, or why the
// request is refused.
//
// Quotas count only once their status says of what: before that, nobody has
// added up what the namespace uses.
func decide(quotas []*corev1.ResourceQuota, c charge, now time.Time) (changed []*corev1.ResourceQuota, err error) {
	delta := usage.Of(c.of, c.obj, now)
	if c.old != nil {
		delta = usage.Less(delta, usage.Of(c.of, c.old, now))
	}
	for _, q := range quotas {
		var names []corev1.ResourceName
		for n := range q.Status.Hard {
			if usage.Counts(c.of, n) {
				names = append(names, n)
			}
		}
		if len(names) == 0 || !usage.Matches(&q.Spec, c.obj) {
			continue
		}
		slices.Sort(names)
		var unknown []string
		for _, n := range names {
			if _, ok := q.Status.Used[n]; !ok {
				unknown = append(unknown, string(n))
			}
		}
		if len(unknown) > 0 {
			return nil, fmt.Errorf("status unknown for quota: %s, resources: %s", q.Name, strings.Join(unknown, ","))
		}
		if pod, ok := c.obj.(*corev1.Pod); ok && c.old == nil {
			if err := usage.Missing(names, pod); err != nil {
				return nil, fmt.Errorf("failed quota: %s: %w", q.Name, err)
			}
		}
		if c.paid[q.Name] {
			continue
		}
		u, err := add(q, delta)
		if err != nil {
			return nil, err
		}
		if u != nil {
			changed = append(changed, u)
		}
	}
	return changed, nil
}

// add returns the quota with more used, nil where it takes nothing more. What
// is given back is not: the controller does that when it has happened.
func add(q *corev1.ResourceQuota, delta corev1.ResourceList) (*corev1.ResourceQuota, error) {
	more, over := corev1.ResourceList{}, corev1.ResourceList{}
	for n, v := range usage.Relevant(delta, q.Status.Hard) {
		if v.Sign() <= 0 {
			continue
		}
		more[n] = v
		sum, hard := q.Status.Used[n].DeepCopy(), q.Status.Hard[n]
		sum.Add(v)
		if sum.Cmp(hard) > 0 {
			over[n] = v
		}
	}
	if len(over) > 0 {
		return nil, fmt.Errorf("exceeded quota: %s, requested: %s, used: %s, limited: %s",
			q.Name, describe(over), describe(usage.Relevant(q.Status.Used, over)), describe(usage.Relevant(q.Status.Hard, over)))
	}
	if len(more) == 0 {
		return nil, nil
	}
	u := q.DeepCopy()
	u.Status.Used = usage.Add(q.Status.Used, more)
	return u, nil
}

// describe writes a list as "cpu=1,pods=2".
func describe(l corev1.ResourceList) string {
	var parts []string
	for _, n := range slices.Sorted(maps.Keys(l)) {
		v := l[n]
		parts = append(parts, string(n)+"="+v.String())
	}
	return strings.Join(parts, ",")
}
