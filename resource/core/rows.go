package core

import "proa/resource"

// Rows lists every row of the group.
func Rows() []*resource.Definition {
	return []*resource.Definition{
		Binding(),
		ConfigMap(),
		Endpoints(),
		Event(),
		LimitRange(),
		Namespace(),
		Node(),
		PersistentVolume(),
		PersistentVolumeClaim(),
		Pod(),
		PodTemplate(),
		ReplicationController(),
		ResourceQuota(),
		Secret(),
		Service(),
		ServiceAccount(),
	}
}
