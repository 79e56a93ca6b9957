package statefulset

import (
	"fmt"
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var kind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")

// ordinal is the number of a pod of the set, or -1 where its name has none.
func ordinal(set metav1.Object, p *v1.Pod) int {
	text, ok := strings.CutPrefix(p.Name, set.GetName()+"-")
	if !ok || text == "" || text[0] < '0' || text[0] > '9' {
		return -1
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || strconv.FormatInt(n, 10) != text {
		return -1
	}
	return int(n)
}

// newPod makes the pod of a number, of the revision that is due there.
func (v view) newPod(n int) *v1.Pod {
	from := v.update
	s := v.set.Spec.UpdateStrategy
	if s.Type == appsv1.RollingUpdateStatefulSetStrategyType {
		keep := partition(v.set)
		if s.RollingUpdate == nil {
			keep = int(v.set.Status.CurrentReplicas)
		}
		if n < first(v.set)+keep {
			from = v.current
		}
	}
	t := from.spec.DeepCopy()
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: v.set.Namespace, Name: fmt.Sprintf("%s-%d", v.set.Name, n), Labels: t.Labels, Annotations: t.Annotations, Finalizers: t.Finalizers,
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(v.set, kind)},
	}, Spec: t.Spec}
	identify(v.set, pod)
	pod.Labels[appsv1.StatefulSetRevisionLabel] = from.revision
	pod.Spec.Hostname, pod.Spec.Subdomain = pod.Name, v.set.Spec.ServiceName
	var volumes []v1.Volume
	claimed := map[string]bool{}
	for i := range v.set.Spec.VolumeClaimTemplates {
		name := v.set.Spec.VolumeClaimTemplates[i].Name
		claimed[name] = true
		volumes = append(volumes, v1.Volume{Name: name, VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{
			ClaimName: claimName(v.set, name, n)}}})
	}
	for _, volume := range pod.Spec.Volumes {
		if !claimed[volume.Name] {
			volumes = append(volumes, volume)
		}
	}
	pod.Spec.Volumes = volumes
	return pod
}

// identify sets the labels by which one pod of a set can be selected.
func identify(set *appsv1.StatefulSet, pod *v1.Pod) {
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Labels[appsv1.StatefulSetPodNameLabel] = pod.Name
	pod.Labels[appsv1.PodIndexLabel] = strconv.Itoa(ordinal(set, pod))
}
