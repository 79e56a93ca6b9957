package daemonset

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	appslisters "k8s.io/client-go/listers/apps/v1"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/util/flowcontrol"

	"proa/controller"
	"proa/controller/owned"
	"proa/controller/podcontrol"
	"proa/controller/revision"
)

const (
	workers = 2
	// A daemon that fails at once is replaced with delays between these.
	firstBackoff = time.Second
	lastBackoff  = 15 * time.Minute
)

var kind = appsv1.SchemeGroupVersion.WithKind("DaemonSet")

// Definition of the controller of DaemonSets.
func Definition() controller.Definition {
	return controller.Definition{Name: "daemonset-controller", ServiceAccount: "daemon-set-controller", New: newController}
}

type daemonSets struct {
	env       controller.Env
	loop      *controller.Loop[controller.Key]
	sets      appslisters.DaemonSetLister
	nodes     corelisters.NodeLister
	expect    *controller.Expectations[controller.Key]
	control   podcontrol.Control
	revisions revision.Control
	backoff   *flowcontrol.Backoff // by set and node
}

func newController(env controller.Env) (controller.Controller, error) {
	core, apps := env.Informers.Core().V1(), env.Informers.Apps().V1()
	pods, err := owned.NewIndex[*v1.Pod](core.Pods().Informer())
	if err != nil {
		return nil, err
	}
	revisions, err := owned.NewIndex[*appsv1.ControllerRevision](apps.ControllerRevisions().Informer())
	if err != nil {
		return nil, err
	}
	c := &daemonSets{
		env: env, sets: apps.DaemonSets().Lister(), nodes: core.Nodes().Lister(),
		expect:    controller.NewExpectations[controller.Key](env.Clock),
		control:   podcontrol.Control{Env: env, Kind: kind, Pods: pods},
		revisions: revision.Control{Env: env, Kind: kind, Index: revisions, HashLabel: appsv1.DefaultDaemonSetUniqueLabelKey},
		backoff:   flowcontrol.NewBackOff(firstBackoff, lastBackoff),
	}
	c.backoff.Clock = env.Clock
	c.loop = controller.NewLoop("daemonset", env, workers, c.reconcile)
	if err := controller.Watch(c.loop, apps.DaemonSets().Informer(), controller.Self[*appsv1.DaemonSet]); err != nil {
		return nil, err
	}
	if err := controller.Watch(c.loop, core.Nodes().Informer(), c.setsOfNode); err != nil {
		return nil, err
	}
	c.loop.Need(apps.ControllerRevisions().Informer())
	return c, controller.Watch(c.loop, core.Pods().Informer(), func(old, pod *v1.Pod, deleted bool) []controller.Key {
		return c.control.Owners(c.expect, old, pod, deleted, c.candidates)
	})
}

// Run implements controller.Controller.
func (c *daemonSets) Run(ctx context.Context) error { return c.loop.Run(ctx) }

// candidates are the sets that would adopt an orphan.
func (c *daemonSets) candidates(pod *v1.Pod) []controller.Key {
	return controller.Keys(c.sets.GetPodDaemonSets(pod))
}

// setsOfNode names the sets that a node has come to concern, or concerns no
// more. The many changes of a node's status are of no interest.
func (c *daemonSets) setsOfNode(old, node *v1.Node, deleted bool) []controller.Key {
	if old != nil && !deleted && maps.Equal(old.Labels, node.Labels) && equality.Semantic.DeepEqual(old.Spec.Taints, node.Spec.Taints) {
		return nil
	}
	sets, err := c.sets.List(labels.Everything())
	if err != nil {
		return nil
	}
	var keys []controller.Key
	for _, ds := range sets {
		m := newMatcher(ds)
		was, is := no, m.fit(node)
		if old != nil {
			was = m.fit(old)
		}
		if was != is || deleted {
			keys = append(keys, controller.Key{Namespace: ds.Namespace, Name: ds.Name})
		}
	}
	return keys
}

func (c *daemonSets) reconcile(ctx context.Context, key controller.Key) (controller.Result, error) {
	settled := c.expect.Satisfied(key)
	ds, err := c.sets.DaemonSets(key.Namespace).Get(key.Name)
	if apierrors.IsNotFound(err) {
		c.expect.Forget(key)
		return controller.Done, nil
	}
	if err != nil {
		return controller.Done, err
	}
	if equality.Semantic.DeepEqual(ds.Spec.Selector, &metav1.LabelSelector{}) {
		c.env.Events.Eventf(ds, v1.EventTypeWarning, "SelectingAll", "This daemon set is selecting all pods. A non-empty selector is required.")
		return controller.Done, nil
	}
	if ds.DeletionTimestamp != nil {
		return controller.Done, nil // the garbage collector has the rest
	}
	selector, err := metav1.LabelSelectorAsSelector(ds.Spec.Selector)
	if err != nil {
		return controller.Done, err
	}
	nodes, err := c.nodes.List(labels.Everything())
	if err != nil {
		return controller.Done, err
	}
	live := func(ctx context.Context) (metav1.Object, error) {
		return c.env.Client.AppsV1().DaemonSets(ds.Namespace).Get(ctx, ds.Name, metav1.GetOptions{})
	}
	pods, err := c.control.Claim(ctx, ds, selector, live)
	if err != nil {
		return controller.Done, err
	}
	current, old, err := c.history(ctx, ds, selector, live)
	if err != nil {
		return controller.Done, err
	}
	p := decide(view{
		set: ds, nodes: nodes, pods: pods, hash: current.Labels[appsv1.DefaultDaemonSetUniqueLabelKey],
		now: c.env.Clock.Now(), settled: settled,
		failing: func(node string) time.Duration {
			if id := backoffID(ds, node); c.backoff.IsInBackOffSinceUpdate(id, c.env.Clock.Now()) {
				return c.backoff.Get(id)
			}
			return 0
		},
	})
	failure := c.apply(ctx, key, ds, &p, current.Labels[appsv1.DefaultDaemonSetUniqueLabelKey])
	if settled && failure == nil {
		failure = c.revisions.Delete(ctx, forgotten(ds, old, pods))
	}
	if err := c.writeStatus(ctx, ds, p.status); err != nil || failure != nil {
		return controller.Done, errors.Join(failure, err)
	}
	if p.again > 0 {
		return controller.Again(p.again), nil
	}
	return controller.Done, nil
}

func (c *daemonSets) writeStatus(ctx context.Context, ds *appsv1.DaemonSet, s appsv1.DaemonSetStatus) error {
	if equality.Semantic.DeepEqual(ds.Status, s) {
		return nil
	}
	ds = ds.DeepCopy()
	ds.Status = s
	_, err := c.env.Client.AppsV1().DaemonSets(ds.Namespace).UpdateStatus(ctx, ds, metav1.UpdateOptions{})
	return err
}

func backoffID(ds *appsv1.DaemonSet, node string) string { return string(ds.UID) + "/" + node }

// apply makes and removes pods.
func (c *daemonSets) apply(ctx context.Context, key controller.Key, ds *appsv1.DaemonSet, p *plan, hash string) error {
	if len(p.create) > 0 {
		c.expect.ExpectCreations(key, len(p.create))
	}
	for _, r := range p.remove {
		c.expect.ExpectDeletion(key, r.pod.UID)
		switch {
		case r.failed:
			c.backoff.Next(backoffID(ds, target(r.pod)), c.env.Clock.Now())
			c.env.Events.Eventf(ds, v1.EventTypeWarning, "FailedDaemonPod", "Found failed daemon pod %s/%s on node %s, will try to kill it", r.pod.Namespace, r.pod.Name, target(r.pod))
		case r.succeeded:
			c.env.Events.Eventf(ds, v1.EventTypeNormal, "SucceededDaemonPod", "Found succeeded daemon pod %s/%s on node %s, will try to delete it", r.pod.Namespace, r.pod.Name, target(r.pod))
		}
	}
	c.backoff.GC()
	created := c.create(ctx, key, ds, p.create, hash)
	removed := podcontrol.Each(p.remove, func(r removal) error {
		err := c.control.Delete(ctx, ds, r.pod)
		if err != nil {
			c.expect.DeletionObserved(key, r.pod.UID)
		}
		if apierrors.IsNotFound(err) {
			return nil
		}
		return err
	})
	return errors.Join(created, removed)
}

func (c *daemonSets) create(ctx context.Context, key controller.Key, ds *appsv1.DaemonSet, nodes []string, hash string) error {
	template := ds.Spec.Template.DeepCopy()
	template.Spec.Tolerations = withTolerations(template.Spec.Tolerations, template.Spec.HostNetwork)
	if template.Labels == nil {
		template.Labels = map[string]string{}
	}
	if g := ds.Annotations[appsv1.DeprecatedTemplateGeneration]; g != "" {
		template.Labels[templateGeneration] = g
	}
	template.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = hash
	work := make(chan string, len(nodes))
	for _, n := range nodes {
		work <- n
	}
	made, err := podcontrol.SlowStart(len(nodes), func() error {
		pod := c.control.New(ds, template)
		pod.Spec.Affinity = pin(pod.Spec.Affinity, <-work)
		return c.control.Create(ctx, ds, pod)
	})
	for range len(nodes) - made {
		c.expect.CreationObserved(key)
	}
	return err
}

// history returns the revision of the present template, which it records if it
// is new, and the others, oldest first.
func (c *daemonSets) history(ctx context.Context, ds *appsv1.DaemonSet, selector labels.Selector, live func(context.Context) (metav1.Object, error)) (current *appsv1.ControllerRevision, old []*appsv1.ControllerRevision, err error) {
	list, err := c.revisions.Claim(ctx, ds, selector, live)
	if err != nil {
		return nil, nil, err
	}
	data, err := revision.Data(&ds.Spec.Template)
	if err != nil {
		return nil, nil, err
	}
	same, old := revision.Split(list, data)
	next := revision.Next(old)
	if len(same) == 0 {
		current, err = c.revisions.Create(ctx, ds, ds.Spec.Template.Labels, data, next, ds.Status.CollisionCount)
		if errors.Is(err, revision.ErrCollision) {
			s := *ds.Status.DeepCopy()
			s.CollisionCount = raised(s.CollisionCount)
			return nil, nil, errors.Join(err, c.writeStatus(ctx, ds, s))
		}
		return current, old, err
	}
	// Where there are several, the latest is kept: the pods of the others count
	// as old and are replaced.
	current = same[len(same)-1]
	old = append(old, same[:len(same)-1]...)
	if current.Revision < next {
		current, err = c.revisions.Renumber(ctx, current, next)
	}
	return current, old, err
}

func raised(n *int32) *int32 {
	one := int32(1)
	if n != nil {
		one += *n
	}
	return &one
}

func historyLimit(ds *appsv1.DaemonSet) int32 {
	if ds.Spec.RevisionHistoryLimit == nil {
		return 10
	}
	return *ds.Spec.RevisionHistoryLimit
}

// forgotten are the revisions beyond the limit, oldest first, except those that
// pods are of.
func forgotten(ds *appsv1.DaemonSet, old []*appsv1.ControllerRevision, pods []*v1.Pod) []*appsv1.ControllerRevision {
	used := map[string]bool{}
	for _, p := range pods {
		used[p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]] = true
	}
	unused := slices.DeleteFunc(slices.Clone(old), func(r *appsv1.ControllerRevision) bool {
		return used[r.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]]
	})
	return unused[:min(len(unused), max(0, len(old)-int(historyLimit(ds))))]
}
