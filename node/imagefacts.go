package node

import (
	"cmp"
	"context"
	"slices"

	v1 "k8s.io/api/core/v1"
)

// maxNames is how many names of one image the node's status lists.
const maxNames = 5

// imageFacts lists the images of the node, the largest first.
func (a *Agent) imageFacts(ctx context.Context) []v1.ContainerImage {
	images, err := a.images.ListImages(ctx, nil)
	if err != nil {
		a.log.Debug("images cannot be listed", "error", err)
		return nil
	}
	var out []v1.ContainerImage
	for _, i := range images {
		names := append(slices.Clone(i.GetRepoDigests()), i.GetRepoTags()...)
		if len(names) > maxNames {
			names = names[:maxNames]
		}
		out = append(out, v1.ContainerImage{Names: names, SizeBytes: int64(i.GetSize())})
	}
	slices.SortFunc(out, func(a, b v1.ContainerImage) int {
		return cmp.Or(cmp.Compare(b.SizeBytes, a.SizeBytes), slices.Compare(a.Names, b.Names))
	})
	if n := int(*a.cfg.Kubelet.NodeStatusMaxImages); n >= 0 && len(out) > n {
		out = out[:n]
	}
	return out
}
