// Package storage holds the rows of storage.k8s.io/v1: classes of volumes, the
// drivers that provide them, and what the parts of the system tell one another
// about attaching them and about the room that is left.
package storage

import "proa/resource"

// Rows lists the rows of this group.
func Rows() []*resource.Definition {
	return []*resource.Definition{
		CSIDriver(),
		CSINode(),
		CSIStorageCapacity(),
		StorageClass(),
		VolumeAttachment(),
		VolumeAttributesClass(),
	}
}
