package resourceclaim

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	resourcev1 "k8s.io/api/resource/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"

	"proa/apiserver/apitest"
	"proa/controller/controllertest"
)

func TestDecidePod(t *testing.T) {
	t.Parallel()
	owner := []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "p", UID: "1", Controller: ptr.To(true)}}
	allocated := resourcev1.ResourceClaimStatus{Allocation: &resourcev1.AllocationResult{}}
	stored := map[string]*resourcev1.ResourceClaim{
		"shared": {ObjectMeta: metav1.ObjectMeta{Name: "shared"}, Status: allocated},
		"fresh":  {ObjectMeta: metav1.ObjectMeta{Name: "fresh"}},
		"own":    {ObjectMeta: metav1.ObjectMeta{Name: "own", OwnerReferences: owner}, Status: allocated},
		"used": {ObjectMeta: metav1.ObjectMeta{Name: "used"}, Status: resourcev1.ResourceClaimStatus{
			Allocation: &resourcev1.AllocationResult{}, ReservedFor: []resourcev1.ResourceClaimConsumerReference{{Resource: "pods", Name: "p", UID: "1"}},
		}},
	}
	named := func(name string) v1.PodResourceClaim { return v1.PodResourceClaim{Name: "k", ResourceClaimName: &name} }
	templated := v1.PodResourceClaim{Name: "k", ResourceClaimTemplateName: ptr.To("t")}
	told := func(name *string) []v1.PodResourceClaimStatus {
		return []v1.PodResourceClaimStatus{{Name: "k", ResourceClaimName: name}}
	}
	now := metav1.NewTime(time.Unix(1, 0))
	for name, c := range map[string]struct {
		claim  v1.PodResourceClaim
		told   []v1.PodResourceClaimStatus
		made   string
		node   string
		phase  v1.PodPhase
		going  *metav1.Time
		create bool
		names  string
		keep   string
	}{
		"named":                        {claim: named("shared")},
		"named, missing":               {claim: named("none")},
		"named, bound elsewhere":       {claim: named("shared"), node: "n", keep: "shared"},
		"named, not allocated":         {claim: named("fresh"), node: "n"},
		"named, known":                 {claim: named("used"), node: "n"},
		"named, finished":              {claim: named("shared"), node: "n", phase: v1.PodSucceeded},
		"template":                     {claim: templated, create: true},
		"template, made, not told":     {claim: templated, made: "m", names: "m"},
		"template, told":               {claim: templated, told: told(ptr.To("own"))},
		"template, told, bound":        {claim: templated, told: told(ptr.To("own")), node: "n", keep: "own"},
		"template, told of another's":  {claim: templated, told: told(ptr.To("shared")), create: true},
		"template, told of a lost one": {claim: templated, told: told(ptr.To("none")), create: true},
		"template, told, on its way":   {claim: templated, told: told(ptr.To("m")), made: "m"},
		"template, not needed":         {claim: templated, told: told(nil)},
		"template, going":              {claim: templated, going: &now},
	} {
		p := &v1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "1", DeletionTimestamp: c.going},
			Spec:       v1.PodSpec{NodeName: c.node, ResourceClaims: []v1.PodResourceClaim{c.claim}},
			Status:     v1.PodStatus{Phase: c.phase, ResourceClaimStatuses: c.told},
		}
		plan, err := decidePod(p, func(n string) *resourcev1.ResourceClaim { return stored[n] }, func(string) string { return c.made })
		keep := ""
		if len(plan.reserve) > 0 {
			keep = plan.reserve[0].Name
		}
		if err != nil || len(plan.create) > 0 != c.create || plan.names["k"] != c.names || keep != c.keep {
			t.Errorf("%s: %+v, %v", name, plan, err)
		}
	}
}

func TestDecideClaim(t *testing.T) {
	t.Parallel()
	now := metav1.NewTime(time.Unix(1, 0))
	user := func(uids ...types.UID) (out []resourcev1.ResourceClaimConsumerReference) {
		for _, u := range uids {
			out = append(out, resourcev1.ResourceClaimConsumerReference{Resource: "pods", UID: u})
		}
		return out
	}
	alive, finished := &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "o"}}, &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "o"}, Status: v1.PodStatus{Phase: v1.PodFailed}}
	for name, c := range map[string]struct {
		users  []resourcev1.ResourceClaimConsumerReference
		gone   []types.UID
		held   bool
		going  *metav1.Time
		owner  *v1.Pod
		left   int // -1: no write
		take   bool
		free   bool
		remove bool
	}{
		"in use":                          {users: user("a"), held: true, left: -1},
		"one of two gone":                 {users: user("a", "b"), gone: []types.UID{"a"}, held: true, left: 1},
		"last gone":                       {users: user("a"), gone: []types.UID{"a"}, held: true, left: 0, take: true, free: true},
		"last gone, not by us":            {users: user("a"), gone: []types.UID{"a"}, left: 0},
		"allocated before it is used":     {held: true, left: -1},
		"going, unused":                   {held: true, going: &now, left: 0, take: true, free: true},
		"going, in use":                   {users: user("a"), held: true, going: &now, left: -1},
		"of a pod that runs":              {owner: alive, left: -1},
		"of a pod that has ended":         {owner: finished, left: -1, remove: true},
		"of a pod that has ended, in use": {owner: finished, users: user("a"), left: -1},
		"of a pod of the same name":       {owner: &v1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "x"}}, left: -1, remove: true},
	} {
		k := &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: c.going}, Status: resourcev1.ResourceClaimStatus{ReservedFor: c.users, Allocation: &resourcev1.AllocationResult{}}}
		if c.held {
			k.Finalizers = []string{resourcev1.Finalizer}
		}
		if c.owner != nil {
			k.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", UID: "o", Controller: ptr.To(true)}}
		}
		plan := decideClaim(k, func(r resourcev1.ResourceClaimConsumerReference) bool { return slices.Contains(c.gone, r.UID) }, c.owner)
		left := -1
		if plan.status != nil {
			left = len(plan.status.ReservedFor)
		}
		if left != c.left || plan.status != nil && (plan.status.Allocation == nil) != c.take || plan.release != c.free || plan.remove != c.remove {
			t.Errorf("%s: %+v", name, plan)
		}
	}
}

func TestNamesKeepSomethingOfBoth(t *testing.T) {
	t.Parallel()
	if got := generateName("pod", "gpu"); got != "pod-gpu-" {
		t.Error(got)
	}
	got := generateName(strings.Repeat("p", 100), strings.Repeat("c", 20))
	if len(got) > 58 || !strings.Contains(got, "p-c") {
		t.Errorf("%q of %d", got, len(got))
	}
}

// A pod gets its claims, is written down where it was bound without the
// scheduler, and with its end the devices are given back.
func TestLifeOfClaims(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	controllertest.Run(t, env, clock.RealClock{}, Definition())
	ctx, pods, claims := t.Context(), env.Admin.CoreV1().Pods("default"), env.Admin.ResourceV1().ResourceClaims("default")
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	spec := resourcev1.ResourceClaimSpec{Devices: resourcev1.DeviceClaim{Requests: []resourcev1.DeviceRequest{{Name: "gpu", Exactly: &resourcev1.ExactDeviceRequest{DeviceClassName: "gpu"}}}}}
	pod := func(name string) *v1.Pod {
		return &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1.PodSpec{
			Containers: []v1.Container{{Name: "c", Image: "i"}}, NodeName: "n",
			ResourceClaims: []v1.PodResourceClaim{{Name: "own", ResourceClaimTemplateName: ptr.To("t")}, {Name: "shared", ResourceClaimName: ptr.To("shared")}},
		}}
	}
	allocate := func(name string) {
		t.Helper()
		k, err := claims.Get(ctx, name, metav1.GetOptions{})
		must(k, err)
		k.Finalizers = append(k.Finalizers, resourcev1.Finalizer)
		k, err = claims.Update(ctx, k, metav1.UpdateOptions{})
		must(k, err)
		k.Status.Allocation = &resourcev1.AllocationResult{Devices: resourcev1.DeviceAllocationResult{
			Results: []resourcev1.DeviceRequestAllocationResult{{Request: "gpu", Driver: "d.com", Pool: "p", Device: name}},
		}}
		must(claims.UpdateStatus(ctx, k, metav1.UpdateOptions{}))
	}
	must(claims.Create(ctx, &resourcev1.ResourceClaim{ObjectMeta: metav1.ObjectMeta{Name: "shared"}, Spec: spec}, metav1.CreateOptions{}))
	must(pods.Create(ctx, pod("p"), metav1.CreateOptions{})) // before its template
	must(env.Admin.ResourceV1().ResourceClaimTemplates("default").Create(ctx, &resourcev1.ResourceClaimTemplate{
		ObjectMeta: metav1.ObjectMeta{Name: "t"}, Spec: resourcev1.ResourceClaimTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: spec},
	}, metav1.CreateOptions{}))
	var own string
	controllertest.Until(t, func() string {
		p, err := pods.Get(ctx, "p", metav1.GetOptions{})
		must(p, err)
		for _, s := range p.Status.ResourceClaimStatuses {
			if s.Name == "own" {
				own = *s.ResourceClaimName
				return ""
			}
		}
		return "the pod was not told of its claim"
	})
	k, err := claims.Get(ctx, own, metav1.GetOptions{})
	must(k, err)
	if !strings.HasPrefix(own, "p-own-") || k.Labels["a"] != "b" || k.Annotations[resourcev1.PodResourceClaimAnnotation] != "own" || len(k.Spec.Devices.Requests) != 1 {
		t.Errorf("the claim is %+v", k)
	}
	allocate(own)
	allocate("shared")
	controllertest.Until(t, func() string {
		for _, name := range []string{own, "shared"} {
			if k, err := claims.Get(ctx, name, metav1.GetOptions{}); err != nil || len(k.Status.ReservedFor) != 1 {
				return fmt.Sprintf("%s is used by %v, %v", name, k.Status.ReservedFor, err)
			}
		}
		return ""
	})
	p, err := pods.Get(ctx, "p", metav1.GetOptions{})
	must(p, err)
	p.Status.Phase = v1.PodSucceeded
	must(pods.UpdateStatus(ctx, p, metav1.UpdateOptions{}))
	controllertest.Until(t, func() string {
		if k, err := claims.Get(ctx, "shared", metav1.GetOptions{}); err != nil || len(k.Status.ReservedFor) != 0 || k.Status.Allocation != nil || len(k.Finalizers) != 0 {
			return fmt.Sprintf("the shared claim is %+v, %v", k, err)
		}
		if _, err := claims.Get(ctx, own, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return "the pod's own claim is still there"
		}
		return ""
	})
	if l, err := claims.List(ctx, metav1.ListOptions{}); err != nil || len(l.Items) != 1 {
		t.Errorf("claims: %v, %v", l, err)
	}
}
