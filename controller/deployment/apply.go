package deployment

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/controller"
)

// apply carries out a plan: the sets first, then the deployment's own
// revision, then its status.
func (c *deployments) apply(ctx context.Context, v *view, p *plan) error {
	d := v.d
	fresh := newSet(d, v.sets)
	created := ""
	if p.create {
		rs, err := c.create(ctx, d, p)
		if err != nil {
			return c.cannotCreate(ctx, v, p, err)
		}
		created = rs.Name
	}
	for _, s := range p.scale {
		if err := c.scale(ctx, d, s, p, fresh); err != nil {
			return err
		}
	}
	if fresh != nil && p.revision > 0 && !slices.ContainsFunc(p.scale, func(s scaling) bool { return s.set == fresh }) {
		if err := c.annotate(ctx, d, fresh, p.revision); err != nil {
			return err
		}
	}
	for _, rs := range p.remove {
		err := c.env.Client.AppsV1().ReplicaSets(rs.Namespace).Delete(ctx, rs.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &rs.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	if created != "" && d.Spec.ProgressDeadlineSeconds != nil {
		conditions{&p.status.Conditions, metav1.NewTime(v.now)}.touch(appsv1.DeploymentProgressing, v1.ConditionTrue,
			reasonNewSet, fmt.Sprintf("Created new replica set %q", created))
	}
	return c.write(ctx, d, p)
}

// write stores the revision and the status where they differ.
func (c *deployments) write(ctx context.Context, d *appsv1.Deployment, p *plan) error {
	client := c.env.Client.AppsV1().Deployments(d.Namespace)
	if rev := strconv.FormatInt(p.revision, 10); p.revision > 0 && d.Annotations[revisionAnnotation] != rev {
		d = d.DeepCopy()
		if d.Annotations == nil {
			d.Annotations = map[string]string{}
		}
		d.Annotations[revisionAnnotation] = rev
		updated, err := client.Update(ctx, d, metav1.UpdateOptions{})
		if err != nil {
			return err
		}
		d = updated
	}
	if equality.Semantic.DeepEqual(d.Status, p.status) {
		return nil
	}
	d = d.DeepCopy()
	d.Status = p.status
	_, err := client.UpdateStatus(ctx, d, metav1.UpdateOptions{})
	return err
}

// create makes the set of the present template.
func (c *deployments) create(ctx context.Context, d *appsv1.Deployment, p *plan) (*appsv1.ReplicaSet, error) {
	template := d.Spec.Template.DeepCopy()
	hash, err := templateHash(template, d.Status.CollisionCount)
	if err != nil {
		return nil, err
	}
	template.Labels = withHash(template.Labels, hash)
	selector := d.Spec.Selector.DeepCopy()
	selector.MatchLabels = withHash(selector.MatchLabels, hash)
	rs := &appsv1.ReplicaSet{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Namespace, Name: d.Name + "-" + hash, Labels: template.Labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, deploymentKind)},
		},
		Spec: appsv1.ReplicaSetSpec{Replicas: &p.replicas, MinReadySeconds: d.Spec.MinReadySeconds, Selector: selector, Template: *template},
	}
	rs.Annotations = setAnnotations(d, nil, p.revision)
	key := controller.Key{Namespace: d.Namespace, Name: d.Name}
	c.made.ExpectCreations(key, 1)
	made, err := c.env.Client.AppsV1().ReplicaSets(d.Namespace).Create(ctx, rs, metav1.CreateOptions{})
	if err != nil {
		c.made.CreationObserved(key)
		return rs, err
	}
	if p.replicas > 0 {
		c.env.Events.Eventf(d, v1.EventTypeNormal, "ScalingReplicaSet", "Scaled up replica set %s from 0 to %d", made.Name, p.replicas)
	}
	return made, nil
}

// cannotCreate tells a collision of names, which another count of collisions
// solves, from a set that this controller has made before and not seen yet, and
// from a refusal, which becomes a condition.
func (c *deployments) cannotCreate(ctx context.Context, v *view, p *plan, err error) error {
	d := v.d
	if !apierrors.IsAlreadyExists(err) {
		if !apierrors.HasStatusCause(err, v1.NamespaceTerminatingCause) && d.Spec.ProgressDeadlineSeconds != nil {
			conditions{&p.status.Conditions, metav1.NewTime(v.now)}.set(appsv1.DeploymentProgressing, v1.ConditionFalse,
				"ReplicaSetCreateError", "Failed to create new replica set: "+err.Error())
			p.revision = 0
			if werr := c.write(ctx, d, p); werr != nil {
				return werr
			}
		}
		return err
	}
	hash, herr := templateHash(&d.Spec.Template, d.Status.CollisionCount)
	if herr != nil {
		return herr
	}
	rs, gerr := c.env.Client.AppsV1().ReplicaSets(d.Namespace).Get(ctx, d.Name+"-"+hash, metav1.GetOptions{})
	if gerr != nil {
		return gerr
	}
	if ref := metav1.GetControllerOfNoCopy(rs); ref != nil && ref.UID == d.UID && sameTemplate(&rs.Spec.Template, &d.Spec.Template) {
		return err // made before and on its way through the cache: the next look finds it
	}
	count := int32(1)
	if d.Status.CollisionCount != nil {
		count += *d.Status.CollisionCount
	}
	d = d.DeepCopy()
	d.Status.CollisionCount = &count
	if _, uerr := c.env.Client.AppsV1().Deployments(d.Namespace).UpdateStatus(ctx, d, metav1.UpdateOptions{}); uerr != nil {
		return uerr
	}
	return err
}

// scale sizes a set, and writes down what size of the deployment that was for.
func (c *deployments) scale(ctx context.Context, d *appsv1.Deployment, s scaling, p *plan, fresh *appsv1.ReplicaSet) error {
	rs := s.set.DeepCopy()
	before := sizeOf(rs)
	rs.Spec.Replicas = &s.size
	if fresh != nil && rs.UID == fresh.UID && p.revision > 0 {
		rs.Annotations = setAnnotations(d, rs.Annotations, p.revision)
		rs.Spec.MinReadySeconds = d.Spec.MinReadySeconds
	} else {
		sizeAnnotations(d, &rs.Annotations)
	}
	got, err := c.env.Client.AppsV1().ReplicaSets(rs.Namespace).Update(ctx, rs, metav1.UpdateOptions{})
	if err != nil {
		return err
	}
	c.written.Note(keyOf(got), got)
	if before == s.size {
		return nil
	}
	direction := "down"
	if s.size > before {
		direction = "up"
	}
	c.env.Events.Eventf(d, v1.EventTypeNormal, "ScalingReplicaSet", "Scaled %s replica set %s from %d to %d", direction, rs.Name, before, s.size)
	return nil
}

// annotate brings the new set's annotations and readiness delay up to date.
func (c *deployments) annotate(ctx context.Context, d *appsv1.Deployment, rs *appsv1.ReplicaSet, revision int64) error {
	want := setAnnotations(d, rs.Annotations, revision)
	if maps.Equal(want, rs.Annotations) && rs.Spec.MinReadySeconds == d.Spec.MinReadySeconds {
		return nil
	}
	rs = rs.DeepCopy()
	rs.Annotations, rs.Spec.MinReadySeconds = want, d.Spec.MinReadySeconds
	got, err := c.env.Client.AppsV1().ReplicaSets(rs.Namespace).Update(ctx, rs, metav1.UpdateOptions{})
	if err == nil {
		c.written.Note(keyOf(got), got)
	}
	return err
}

// setAnnotations are those of the new set: the deployment's own, its size, and
// the revision, with the earlier revisions that the same template had.
func setAnnotations(d *appsv1.Deployment, was map[string]string, revision int64) map[string]string {
	out := maps.Clone(was)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, inherited(d))
	old, is := out[revisionAnnotation], strconv.FormatInt(revision, 10)
	if old != is {
		out[revisionAnnotation] = is
		if old != "" {
			history := strings.Split(out[revisionHistoryAnnotation], ",")
			if history[0] == "" {
				history = nil
			}
			if !slices.Contains(history, old) {
				out[revisionHistoryAnnotation] = strings.Join(append(history, old), ",")
			}
		}
	}
	sizeAnnotations(d, &out)
	return out
}

func sizeAnnotations(d *appsv1.Deployment, a *map[string]string) {
	if *a == nil {
		*a = map[string]string{}
	}
	surge, _ := bounds(d)
	(*a)[desiredAnnotation] = strconv.Itoa(int(wanted(d)))
	(*a)[maxAnnotation] = strconv.Itoa(int(wanted(d) + surge))
}

func withHash(labels map[string]string, hash string) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	out[hashLabel] = hash
	return out
}
