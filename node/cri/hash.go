package cri

import (
	"encoding/json"
	"fmt"
	"hash/fnv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/dump"
)

// Hash identifies what of a container's spec needs a restart when it changes:
// name and image, and nothing else. It equals the number that upstream's
// kubelet writes, bit for bit, and must never change: an agent that reads
// another hash from a running container restarts it.
func Hash(c *corev1.Container) uint64 {
	// A map, because its JSON is sorted by key; the dump of the bytes rather
	// than the bytes, because that is what is hashed since the beginning.
	j, err := json.Marshal(map[string]string{"name": c.Name, "image": c.Image})
	if err != nil {
		panic(err) // a map of strings always marshals
	}
	h := fnv.New32a()
	fmt.Fprintf(h, "%v", dump.ForHash(j))
	return uint64(h.Sum32())
}
