package replicaset

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"proa/controller"
)

// ReplicaSets is the controller of ReplicaSets.
func ReplicaSets() controller.Definition {
	return controller.Definition{Name: "replicaset-controller", ServiceAccount: "replicaset-controller",
		New: func(env controller.Env) (controller.Controller, error) {
			return newController(env, replicaSetKind(env))
		}}
}

func replicaSetKind(env controller.Env) kind {
	inf := env.Informers.Apps().V1().ReplicaSets()
	client := env.Client.AppsV1()
	return kind{
		name: "replicaset", gvk: appsv1.SchemeGroupVersion.WithKind("ReplicaSet"), informer: inf.Informer(),
		get: func(k controller.Key) (*set, error) {
			rs, err := inf.Lister().ReplicaSets(k.Namespace).Get(k.Name)
			return fromReplicaSet(rs, err)
		},
		live: func(ctx context.Context, k controller.Key) (*set, error) {
			rs, err := client.ReplicaSets(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
			return fromReplicaSet(rs, err)
		},
		all: func(namespace string) ([]*set, error) {
			list, err := inf.Lister().ReplicaSets(namespace).List(labels.Everything())
			return fromAll(list, err, fromReplicaSet)
		},
		writeStatus: func(ctx context.Context, s *set, st status, failure error, now metav1.Time) error {
			rs := s.api.(*appsv1.ReplicaSet)
			was := v1.ConditionFalse
			want := appsv1.ReplicaSetStatus{
				Replicas: st.replicas, FullyLabeledReplicas: st.fullyLabeled, ReadyReplicas: st.ready,
				AvailableReplicas: st.available, TerminatingReplicas: &st.terminating, ObservedGeneration: rs.Generation,
			}
			for _, c := range rs.Status.Conditions {
				if c.Type == appsv1.ReplicaSetReplicaFailure {
					was = c.Status
					if failure != nil {
						want.Conditions = append(want.Conditions, c) // the first failure is kept while it lasts
					}
				} else {
					want.Conditions = append(want.Conditions, c)
				}
			}
			if failure != nil && was != v1.ConditionTrue {
				want.Conditions = append(want.Conditions, appsv1.ReplicaSetCondition{
					Type: appsv1.ReplicaSetReplicaFailure, Status: v1.ConditionTrue,
					Reason: failureReason(s, st), Message: failure.Error(), LastTransitionTime: now,
				})
			}
			if equality.Semantic.DeepEqual(rs.Status, want) {
				return nil
			}
			rs = rs.DeepCopy()
			rs.Status = want
			_, err := client.ReplicaSets(rs.Namespace).UpdateStatus(ctx, rs, metav1.UpdateOptions{})
			return err
		},
	}
}

func fromReplicaSet(rs *appsv1.ReplicaSet, err error) (*set, error) {
	if err != nil {
		return nil, err
	}
	selector, err := metav1.LabelSelectorAsSelector(rs.Spec.Selector)
	if err != nil {
		return nil, err
	}
	s := &set{
		Object: rs, api: rs, replicas: 1, minReady: rs.Spec.MinReadySeconds, selector: selector,
		template: &rs.Spec.Template, templateLabels: rs.Spec.Template.Labels, deleting: rs.DeletionTimestamp != nil,
	}
	if rs.Spec.Replicas != nil {
		s.replicas = *rs.Spec.Replicas
	}
	return s, nil
}

func fromAll[T any](list []T, err error, from func(T, error) (*set, error)) ([]*set, error) {
	if err != nil {
		return nil, err
	}
	out := make([]*set, 0, len(list))
	for _, o := range list {
		if s, err := from(o, nil); err == nil {
			out = append(out, s)
		}
	}
	return out, nil
}

func failureReason(s *set, st status) string {
	if st.replicas < s.replicas {
		return "FailedCreate"
	}
	return "FailedDelete"
}
