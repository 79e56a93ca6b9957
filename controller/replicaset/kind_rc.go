package replicaset

import (
	"context"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"proa/controller"
)

// ReplicationControllers is the controller of ReplicationControllers.
func ReplicationControllers() controller.Definition {
	return controller.Definition{Name: "replicationcontroller-controller", ServiceAccount: "replication-controller",
		New: func(env controller.Env) (controller.Controller, error) {
			return newController(env, replicationControllerKind(env))
		}}
}

func replicationControllerKind(env controller.Env) kind {
	inf := env.Informers.Core().V1().ReplicationControllers()
	client := env.Client.CoreV1()
	return kind{
		name: "replicationcontroller", gvk: v1.SchemeGroupVersion.WithKind("ReplicationController"), informer: inf.Informer(),
		get: func(k controller.Key) (*set, error) {
			rc, err := inf.Lister().ReplicationControllers(k.Namespace).Get(k.Name)
			return fromReplicationController(rc, err)
		},
		live: func(ctx context.Context, k controller.Key) (*set, error) {
			rc, err := client.ReplicationControllers(k.Namespace).Get(ctx, k.Name, metav1.GetOptions{})
			return fromReplicationController(rc, err)
		},
		all: func(namespace string) ([]*set, error) {
			list, err := inf.Lister().ReplicationControllers(namespace).List(labels.Everything())
			return fromAll(list, err, fromReplicationController)
		},
		writeStatus: func(ctx context.Context, s *set, st status, failure error, now metav1.Time) error {
			rc := s.api.(*v1.ReplicationController)
			was := v1.ConditionFalse
			want := v1.ReplicationControllerStatus{
				Replicas: st.replicas, FullyLabeledReplicas: st.fullyLabeled, ReadyReplicas: st.ready,
				AvailableReplicas: st.available, ObservedGeneration: rc.Generation,
			}
			for _, c := range rc.Status.Conditions {
				if c.Type == v1.ReplicationControllerReplicaFailure {
					was = c.Status
					if failure != nil {
						want.Conditions = append(want.Conditions, c)
					}
				} else {
					want.Conditions = append(want.Conditions, c)
				}
			}
			if failure != nil && was != v1.ConditionTrue {
				want.Conditions = append(want.Conditions, v1.ReplicationControllerCondition{
					Type: v1.ReplicationControllerReplicaFailure, Status: v1.ConditionTrue,
					Reason: failureReason(s, st), Message: failure.Error(), LastTransitionTime: now,
				})
			}
			if equality.Semantic.DeepEqual(rc.Status, want) {
				return nil
			}
			rc = rc.DeepCopy()
			rc.Status = want
			_, err := client.ReplicationControllers(rc.Namespace).UpdateStatus(ctx, rc, metav1.UpdateOptions{})
			return err
		},
	}
}

func fromReplicationController(rc *v1.ReplicationController, err error) (*set, error) {
	if err != nil {
		return nil, err
	}
	s := &set{
		Object: rc, api: rc, replicas: 1, minReady: rc.Spec.MinReadySeconds,
		selector: labels.SelectorFromSet(rc.Spec.Selector), template: rc.Spec.Template, deleting: rc.DeletionTimestamp != nil,
	}
	if len(rc.Spec.Selector) == 0 {
		s.selector = labels.Nothing() // an empty set would select everything
	}
	if rc.Spec.Template != nil {
		s.templateLabels = rc.Spec.Template.Labels
	}
	if rc.Spec.Replicas != nil {
		s.replicas = *rc.Spec.Replicas
	}
	return s, nil
}
