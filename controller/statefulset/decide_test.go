package statefulset

import (
	"fmt"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

var now = time.Unix(100_000, 0)

// pod reads "number flags": old, ready, pending, failed, deleted, anonymous.
// It runs and is of the new revision unless the flags say otherwise.
func pod(text string) *v1.Pod {
	number, flags, _ := strings.Cut(text, " ")
	p := &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "web-" + number, UID: types.UID("uid-" + number),
			Labels: map[string]string{appsv1.StatefulSetRevisionLabel: "new", appsv1.StatefulSetPodNameLabel: "web-" + number}},
		Status: v1.PodStatus{Phase: v1.PodRunning},
	}
	for f := range strings.FieldsSeq(flags) {
		switch f {
		case "old":
			p.Labels[appsv1.StatefulSetRevisionLabel] = "old"
		case "ready":
			p.Status.Conditions = []v1.PodCondition{{Type: v1.PodReady, Status: v1.ConditionTrue, LastTransitionTime: metav1.NewTime(now.Add(-time.Minute))}}
		case "pending":
			p.Status.Phase = v1.PodPending
		case "failed":
			p.Status.Phase = v1.PodFailed
		case "deleted":
			p.DeletionTimestamp = &metav1.Time{Time: now}
		case "anonymous":
			delete(p.Labels, appsv1.StatefulSetPodNameLabel)
		default:
			panic(f)
		}
	}
	return p
}

func set(change ...func(*appsv1.StatefulSet)) *appsv1.StatefulSet {
	three, zero := int32(3), int32(0)
	s := &appsv1.StatefulSet{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "ns", UID: "set", Generation: 2},
		Spec: appsv1.StatefulSetSpec{Replicas: &three, ServiceName: "svc", PodManagementPolicy: appsv1.OrderedReadyPodManagement,
			UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType,
				RollingUpdate: &appsv1.RollingUpdateStatefulSetStrategy{Partition: &zero}},
			Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		},
	}
	for _, f := range change {
		f(s)
	}
	return s
}

func parallel(s *appsv1.StatefulSet) { s.Spec.PodManagementPolicy = appsv1.ParallelPodManagement }
func onDelete(s *appsv1.StatefulSet) {
	s.Spec.UpdateStrategy = appsv1.StatefulSetUpdateStrategy{Type: appsv1.OnDeleteStatefulSetStrategyType}
}
func from(p int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.UpdateStrategy.RollingUpdate.Partition = &p }
}
func replicas(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.Replicas = &n }
}
func starting(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.Ordinals = &appsv1.StatefulSetOrdinals{Start: n} }
}
func minReady(n int32) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) { s.Spec.MinReadySeconds = n }
}
func claiming(s *appsv1.StatefulSet) {
	s.Spec.VolumeClaimTemplates = []v1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}}}
}
func retain(whenDeleted, whenScaled appsv1.PersistentVolumeClaimRetentionPolicyType) func(*appsv1.StatefulSet) {
	return func(s *appsv1.StatefulSet) {
		s.Spec.PersistentVolumeClaimRetentionPolicy = &appsv1.StatefulSetPersistentVolumeClaimRetentionPolicy{WhenDeleted: whenDeleted, WhenScaled: whenScaled}
	}
}

func viewOf(s *appsv1.StatefulSet, claims map[string]*v1.PersistentVolumeClaim, pods ...string) view {
	v := view{set: s, now: now, settled: true, current: template{"old", &v1.PodTemplateSpec{}}, update: template{"new", &v1.PodTemplateSpec{}},
		claims: func(name string) *v1.PersistentVolumeClaim { return claims[name] }}
	for _, text := range pods {
		v.pods = append(v.pods, pod(text))
	}
	return v
}

func numbers(pods []*v1.Pod) (out []string) {
	for _, p := range pods {
		name := strings.TrimPrefix(p.Name, "web-")
		if p.UID == "" && p.Labels[appsv1.StatefulSetRevisionLabel] == "old" {
			name += " old"
		}
		out = append(out, name)
	}
	return out
}

func TestDecide(t *testing.T) {
	t.Parallel()
	type change = func(*appsv1.StatefulSet)
	for name, c := range map[string]struct {
		set  []change
		pods []string
		want string // create; remove; again
	}{
		"begin":                     {nil, nil, "[0] [] 0s"},
		"wait for the first":        {nil, []string{"0"}, "[] [] 0s"},
		"the next":                  {nil, []string{"0 ready"}, "[1] [] 0s"},
		"not for long enough":       {[]change{minReady(90)}, []string{"0 ready"}, "[] [] 30s"},
		"a gap":                     {nil, []string{"0 ready", "2 ready"}, "[1] [] 0s"},
		"one is going":              {nil, []string{"0 ready deleted", "1 ready"}, "[] [] 0s"},
		"one has failed":            {nil, []string{"0 failed", "1 ready"}, "[] [0] 0s"},
		"all at once":               {[]change{parallel}, []string{"1"}, "[0 2] [] 0s"},
		"parallel, one is going":    {[]change{parallel}, []string{"0 ready deleted"}, "[1 2] [] 0s"},
		"from another number":       {[]change{starting(5)}, nil, "[5] [] 0s"},
		"numbers before the first":  {[]change{starting(5)}, []string{"5 ready", "6 ready", "7 ready", "0 ready", "1 ready"}, "[] [1] 0s"},
		"what has no number":        {[]change{replicas(0)}, []string{"x ready", "01 ready"}, "[] [] 0s"},
		"fewer":                     {[]change{replicas(1)}, []string{"0 ready", "1 ready", "2 ready"}, "[] [2] 0s"},
		"fewer, one is going":       {[]change{replicas(1)}, []string{"0 ready", "1 ready", "2 ready deleted"}, "[] [] 0s"},
		"fewer, a bad one remains":  {[]change{replicas(1)}, []string{"0 ready", "1", "2 ready"}, "[] [2] 0s"},
		"fewer, the bad one itself": {[]change{replicas(1)}, []string{"0 ready", "1 ready", "2"}, "[] [2] 0s"},
		"fewer, two bad ones":       {[]change{replicas(1)}, []string{"0 ready", "1", "2"}, "[] [] 0s"},
		"fewer, a wanted one first": {[]change{replicas(1)}, []string{"0", "1 ready", "2 ready"}, "[] [] 0s"},
		"fewer, parallel":           {[]change{replicas(1), parallel}, []string{"0", "1", "2"}, "[] [2 1] 0s"},

		"another template":           {nil, []string{"0 old ready", "1 old ready", "2 old ready"}, "[] [2] 0s"},
		"the next one down":          {nil, []string{"0 old ready", "1 old ready", "2 ready"}, "[] [1] 0s"},
		"wait for the new one":       {nil, []string{"0 old ready", "1 old ready", "2"}, "[] [] 0s"},
		"a new one in place":         {nil, []string{"0 old ready", "1 old ready"}, "[2] [] 0s"},
		"a broken old one, below":    {nil, []string{"0 old", "1 old ready", "2 old ready"}, "[] [] 0s"},
		"parallel, a broken one":     {[]change{parallel}, []string{"0 old", "1 old ready", "2 old"}, "[] [2] 0s"},
		"on delete":                  {[]change{onDelete}, []string{"0 old ready", "1 old ready", "2 old ready"}, "[] [] 0s"},
		"above the partition":        {[]change{from(2)}, []string{"0 old ready", "1 old ready", "2 ready"}, "[] [] 0s"},
		"below it, the old template": {[]change{from(2)}, []string{"0 old ready", "2 ready"}, "[1 old] [] 0s"},
		"partition from the first":   {[]change{from(2), starting(5)}, []string{"5 old ready", "6 old ready", "7 old ready"}, "[] [7] 0s"},
		"partition beyond the end":   {[]change{from(9)}, []string{"0 old ready", "1 old ready"}, "[2 old] [] 0s"},
	} {
		p := decide(viewOf(set(c.set...), nil, c.pods...))
		if got := fmt.Sprintf("%v %v %v", numbers(p.create), numbers(p.remove), p.again); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	v := viewOf(set(), nil)
	v.settled = false
	if p := decide(v); p.create != nil || p.remove != nil {
		t.Errorf("while waiting: %+v", p)
	}
	if p := decide(viewOf(set(replicas(1_000_000_000), parallel), nil)); len(p.create) != burst {
		t.Errorf("%d pods at once", len(p.create))
	}
}

func TestStatus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		pods []string
		want string // replicas ready available current updated, revision of both
	}{
		"updating": {[]string{"0 old ready", "1 old", "2 ready"}, "3 2 2 2 1 old new"},
		"going":    {[]string{"0 ready", "1 ready deleted"}, "2 2 2 0 1 old new"},
		"updated":  {[]string{"0 ready", "1 ready", "2 ready"}, "3 3 3 3 3 new new"},
		"nobody's": {[]string{"x ready"}, "0 0 0 0 0 old new"},
	} {
		s := decide(viewOf(set(), nil, c.pods...)).status
		got := fmt.Sprint(s.Replicas, s.ReadyReplicas, s.AvailableReplicas, s.CurrentReplicas, s.UpdatedReplicas, " ", s.CurrentRevision, " ", s.UpdateRevision)
		if got != c.want || s.ObservedGeneration != 2 {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestNewPod(t *testing.T) {
	t.Parallel()
	v := viewOf(set(claiming), nil)
	v.update.spec = &v1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec: v1.PodSpec{Volumes: []v1.Volume{{Name: "data"}, {Name: "other"}}}}
	p := v.newPod(7)
	if p.Name != "web-7" || p.Spec.Hostname != "web-7" || p.Spec.Subdomain != "svc" || p.Labels["app"] != "web" ||
		p.Labels[appsv1.PodIndexLabel] != "7" || p.Labels[appsv1.StatefulSetPodNameLabel] != "web-7" || p.Labels[appsv1.StatefulSetRevisionLabel] != "new" {
		t.Errorf("%+v", p)
	}
	if vs := p.Spec.Volumes; len(vs) != 2 || vs[0].PersistentVolumeClaim.ClaimName != "data-web-7" || vs[1].Name != "other" {
		t.Errorf("%+v", p.Spec.Volumes)
	}
	if v.update.spec.Labels[appsv1.PodIndexLabel] != "" {
		t.Error("the template was changed")
	}
	c := claimsOf(v.set, p)
	if len(c) != 1 || c[0].Name != "data-web-7" || c[0].Namespace != "ns" || c[0].Labels["app"] != "web" {
		t.Errorf("%+v", c)
	}
}

// TestOwnersOfClaims: by the retention policy a claim belongs to nobody, to the
// set, or to the pod once it is no longer wanted.
func TestOwnersOfClaims(t *testing.T) {
	t.Parallel()
	const keep, del = appsv1.RetainPersistentVolumeClaimRetentionPolicyType, appsv1.DeletePersistentVolumeClaimRetentionPolicyType
	yes := true
	ofSet := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "web", UID: "set", Controller: &yes, BlockOwnerDeletion: &yes}
	ofPod := func(n int, uid string) metav1.OwnerReference {
		return metav1.OwnerReference{APIVersion: "v1", Kind: "Pod", Name: fmt.Sprintf("web-%d", n), UID: types.UID(uid), Controller: &yes, BlockOwnerDeletion: &yes}
	}
	loose := metav1.OwnerReference{APIVersion: "apps/v1", Kind: "StatefulSet", Name: "web", UID: "set"}
	other := metav1.OwnerReference{APIVersion: "example.org/v1", Kind: "Keeper", Name: "k", UID: "k", Controller: &yes}
	friend := metav1.OwnerReference{APIVersion: "example.org/v1", Kind: "Friend", Name: "f", UID: "f"}
	const same = "same"
	for name, c := range map[string]struct {
		deleted, scaled appsv1.PersistentVolumeClaimRetentionPolicyType
		n               int
		has             []metav1.OwnerReference
		want            string
	}{
		"kept":                      {keep, keep, 0, nil, same},
		"kept from now on":          {keep, keep, 0, []metav1.OwnerReference{ofSet, friend}, "[Friend]"},
		"with the set":              {del, keep, 0, nil, "[StatefulSet]"},
		"with the set, already":     {del, keep, 0, []metav1.OwnerReference{ofSet}, same},
		"with the set, as no owner": {del, keep, 0, []metav1.OwnerReference{loose}, "[StatefulSet]"},
		"with the set, scaled":      {del, keep, 9, nil, "[StatefulSet]"},
		"when scaled, wanted":       {keep, del, 0, nil, same},
		"when scaled, not wanted":   {keep, del, 9, nil, "[Pod]"},
		"when scaled, wanted again": {keep, del, 0, []metav1.OwnerReference{ofPod(0, "uid-0")}, "[]"},
		"either, wanted":            {del, del, 0, nil, "[StatefulSet]"},
		"either, not wanted":        {del, del, 9, []metav1.OwnerReference{ofSet}, "[Pod]"},
		"of an earlier pod":         {del, del, 0, []metav1.OwnerReference{ofPod(0, "earlier")}, same},
		"somebody else's":           {del, del, 0, []metav1.OwnerReference{other}, same},
		"somebody else's and ours":  {del, del, 0, []metav1.OwnerReference{other, ofSet}, "[Keeper] conflict"},
		"somebody else's, and kept": {keep, keep, 0, []metav1.OwnerReference{other}, same},
	} {
		claim := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{OwnerReferences: c.has}}
		v := viewOf(set(claiming, retain(c.deleted, c.scaled)), map[string]*v1.PersistentVolumeClaim{fmt.Sprintf("data-web-%d", c.n): claim})
		got := same
		if list := v.owners(pod(fmt.Sprint(c.n))); len(list) == 1 {
			var kinds []string
			for _, r := range list[0].owners {
				kinds = append(kinds, r.Kind)
				if r.UID != "f" && !owns(&r) {
					t.Errorf("%s: %+v does not control", name, r)
				}
			}
			got = fmt.Sprint(kinds)
			if list[0].conflict {
				got += " conflict"
			}
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// TestStaleClaims: a pod is not made while its claim goes with the last one.
func TestStaleClaims(t *testing.T) {
	t.Parallel()
	claims := map[string]*v1.PersistentVolumeClaim{"data-web-0": {ObjectMeta: metav1.ObjectMeta{
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "web-0", UID: "earlier"}}}}}
	del, keep := appsv1.DeletePersistentVolumeClaimRetentionPolicyType, appsv1.RetainPersistentVolumeClaimRetentionPolicyType
	for name, c := range map[string]struct {
		set  *appsv1.StatefulSet
		want string
	}{
		"in order": {set(claiming, retain(keep, del)), "[]"},
		"parallel": {set(claiming, retain(keep, del), parallel), "[1 2]"},
		"kept":     {set(claiming, retain(del, keep)), "[0]"},
	} {
		if got := fmt.Sprint(numbers(decide(viewOf(c.set, claims)).create)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	// What waits for a claim that is not there gets it.
	if p := decide(viewOf(set(claiming), claims, "0 ready", "1 pending anonymous")); len(p.claims) != 1 || p.claims[0].Name != "web-1" {
		t.Errorf("%+v", p)
	}
	if p := decide(viewOf(set(), nil, "0 ready anonymous")); len(p.identify) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestForgotten(t *testing.T) {
	t.Parallel()
	one := int32(1)
	v := viewOf(set(func(s *appsv1.StatefulSet) { s.Spec.RevisionHistoryLimit = &one }), nil, "0 ready")
	v.pods[0].Labels[appsv1.StatefulSetRevisionLabel] = "used"
	var list []*appsv1.ControllerRevision
	for _, name := range []string{"first", "used", "second", "old", "third", "new"} {
		list = append(list, &appsv1.ControllerRevision{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	var got []string
	for _, r := range forgotten(v, list) {
		got = append(got, r.Name)
	}
	if fmt.Sprint(got) != "[first second]" {
		t.Error(got)
	}
}
