package simulate

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/utils/ptr"
)

// Namespaces in which one rule is tried, with nothing else going on.
const (
	// treasury has a quota, and clients that take and give back at once.
	treasury = "treasury"
	clerks   = 4
	// harbour has a deployment whose pods are evicted, under a budget.
	harbour  = "harbour"
	evictors = 2
	moored   = 4 // pods, of which so many
	afloat   = 3 // may not be disturbed
)

// openTreasury makes the namespace, and its quota once that is all there is to
// count.
func (w *world) openTreasury(ctx context.Context, k kubernetes.Interface) error {
	if err := ensureSpace(ctx, k, treasury); err != nil {
		return err
	}
	if _, err := k.CoreV1().ConfigMaps(treasury).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{}); err != nil {
		return err
	}
	hard := v1.ResourceList{"count/configmaps": resource.MustParse("6"), v1.ResourcePods: resource.MustParse("4")}
	q := &v1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "purse"}, Spec: v1.ResourceQuotaSpec{Hard: hard}}
	if _, err := k.CoreV1().ResourceQuotas(treasury).Create(ctx, q, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// clerk takes from the quota, and gives back, until ctx ends.
func (w *world) clerk(ctx context.Context, i int) {
	k, r := w.clients(fmt.Sprintf("clerk-%d", i)), rand.New(rand.NewPCG(w.plan.seed, 300+uint64(i)))
	now := metav1.DeleteOptions{GracePeriodSeconds: ptr.To[int64](0)}
	for n := 0; sleep(ctx, time.Duration(r.IntN(6000))*time.Millisecond) == nil; n++ {
		name := fmt.Sprintf("clerk-%d-%d", i, n)
		switch r.IntN(6) {
		case 0, 1:
			_, _ = k.CoreV1().ConfigMaps(treasury).Create(ctx, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		case 2:
			if list, err := k.CoreV1().ConfigMaps(treasury).List(ctx, metav1.ListOptions{}); err == nil && len(list.Items) > 0 {
				_ = k.CoreV1().ConfigMaps(treasury).Delete(ctx, list.Items[r.IntN(len(list.Items))].Name, metav1.DeleteOptions{})
			}
		case 3, 4:
			// Nobody schedules it.
			p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: modest(nil).Spec}
			p.Spec.SchedulerName = "nobody"
			_, _ = k.CoreV1().Pods(treasury).Create(ctx, p, metav1.CreateOptions{})
		case 5:
			if list, err := k.CoreV1().Pods(treasury).List(ctx, metav1.ListOptions{}); err == nil && len(list.Items) > 0 {
				_ = k.CoreV1().Pods(treasury).Delete(ctx, list.Items[r.IntN(len(list.Items))].Name, now)
			}
		}
	}
}

// closeTreasury gives everything back.
func (w *world) closeTreasury(ctx context.Context, k kubernetes.Interface) error {
	return k.CoreV1().Pods(treasury).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
}

func (w *world) openHarbour(ctx context.Context, k kubernetes.Interface) error {
	if err := ensureSpace(ctx, k, harbour); err != nil {
		return err
	}
	labels := map[string]string{"app": "ferry"}
	selector := &metav1.LabelSelector{MatchLabels: labels}
	least := intstr.FromInt32(afloat)
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "ferry"}, Spec: policyv1.PodDisruptionBudgetSpec{MinAvailable: &least, Selector: selector}}
	if _, err := k.PolicyV1().PodDisruptionBudgets(harbour).Create(ctx, b, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "ferry"}, Spec: appsv1.DeploymentSpec{
		Replicas: ptr.To[int32](moored), Selector: selector, Template: modest(labels),
	}}
	if _, err := k.AppsV1().Deployments(harbour).Create(ctx, d, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		return err
	}
	return nil
}

// evictor evicts pods of the harbour until ctx ends.
func (w *world) evictor(ctx context.Context, i int) {
	k, r := w.clients(fmt.Sprintf("evictor-%d", i)), rand.New(rand.NewPCG(w.plan.seed, 400+uint64(i)))
	for sleep(ctx, time.Duration(r.IntN(40_000))*time.Millisecond) == nil {
		list, err := k.CoreV1().Pods(harbour).List(ctx, metav1.ListOptions{})
		if err != nil || len(list.Items) == 0 {
			continue
		}
		for _, at := range r.Perm(len(list.Items))[:min(2, len(list.Items))] {
			_ = k.PolicyV1().Evictions(harbour).Evict(ctx, &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: list.Items[at].Name, Namespace: harbour}})
		}
	}
}

func ensureSpace(ctx context.Context, k kubernetes.Interface, name string) error {
	_, err := k.CoreV1().Namespaces().Create(ctx, &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}
