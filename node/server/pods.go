package server

import (
	"net/http"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	nodecri "proa/node/cri"
)

func (s *Server) pods(w http.ResponseWriter, _ *http.Request) {
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []corev1.Pod{}}
	for _, p := range s.cfg.Agent.Pods() {
		list.Items = append(list.Items, *p)
	}
	writeJSON(w, &list)
}

// runningPods lists what the runtime runs, whatever the API server wants.
func (s *Server) runningPods(w http.ResponseWriter, r *http.Request) {
	containers, err := s.cfg.Runtime.ListContainers(r.Context(), &runtimeapi.ContainerFilter{
		State: &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING},
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	byUID := map[types.UID]*corev1.Pod{}
	for _, c := range containers {
		uid := types.UID(c.Labels[nodecri.LabelPodUID])
		if uid == "" {
			continue // not a pod's
		}
		p := byUID[uid]
		if p == nil {
			p = &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: c.Labels[nodecri.LabelPodName], Namespace: c.Labels[nodecri.LabelPodNamespace], UID: uid}}
			byUID[uid] = p
		}
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: c.Labels[nodecri.LabelContainerName], Image: c.GetImage().GetImage()})
	}
	list := corev1.PodList{TypeMeta: metav1.TypeMeta{Kind: "PodList", APIVersion: "v1"}, Items: []corev1.Pod{}}
	for _, p := range byUID {
		list.Items = append(list.Items, *p)
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return strings.Compare(string(a.UID), string(b.UID)) })
	writeJSON(w, &list)
}
