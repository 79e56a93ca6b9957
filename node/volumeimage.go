package node

import (
	"context"
	"os"
	"path/filepath"

	v1 "k8s.io/api/core/v1"

	"proa/node/image"
)

// volumeImage makes the image of an image volume present, as though a container
// of the pod ran it, and returns its reference.
func (a *Agent) volumeImage(ctx context.Context, p *v1.Pod, v *v1.Volume) (string, error) {
	r := image.Request{Pod: p, Container: &v1.Container{Name: v.Name, Image: v.Image.Reference, ImagePullPolicy: v.Image.PullPolicy}}
	if a.objects != nil {
		for _, ref := range p.Spec.ImagePullSecrets {
			// One that cannot be read is left out: the pull says what is missing.
			if s, err := a.objects.Secret(ctx, p.Namespace, ref.Name); err == nil {
				r.PullSecrets = append(r.PullSecrets, s)
			}
		}
	}
	res, err := a.puller.Ensure(ctx, r)
	return res.Ref, err
}

// nodeCredentials are the files with the node's own registry credentials, where
// upstream looks for them.
func nodeCredentials(root string) []string {
	out := []string{filepath.Join(root, "config.json")}
	if home, err := os.UserHomeDir(); err == nil {
		out = append(out, filepath.Join(home, ".docker", "config.json"))
	}
	return out
}
