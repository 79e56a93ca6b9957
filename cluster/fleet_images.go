package cluster

import (
	"context"
	"fmt"

	"proa/runtime/images"
)

// shareImages gives a node the images that were imported on another one: importing
// is for the whole cluster, but reaches only the nodes that run.
func (f *fleet) shareImages(ctx context.Context, to *fleetNode) error {
	nodes, err := f.nodes()
	if err != nil {
		return err
	}
	for _, from := range nodes {
		if from.Name == to.Name {
			continue
		}
		if pid, err := f.pidOf(from); err != nil || pid == 0 {
			continue
		}
		if err := f.copyImages(ctx, from, to); err != nil {
			return fmt.Errorf("copy imported images from %s to %s (\"proa image import\" repeats it): %w", from.Name, to.Name, err)
		}
		return nil
	}
	return nil
}

// shareImages gives the other nodes what they missed while they were down, or not
// there. That it fails is no reason for a cluster not to start.
func (s *server) shareImages(ctx context.Context) {
	f, err := openFleet(s.cluster)
	if err != nil {
		s.log.Warn("cannot share imported images", "err", err)
		return
	}
	defer f.close()
	nodes, err := f.nodes()
	if err != nil {
		s.log.Warn("cannot share imported images", "err", err)
		return
	}
	for _, n := range nodes {
		if n.first() || n.Stopped {
			continue
		}
		if err := f.shareImages(ctx, n); err != nil {
			s.log.Warn("a node lacks imported images", "node", n.Name, "err", err)
		}
	}
}

func (f *fleet) copyImages(ctx context.Context, from, to *fleetNode) error {
	source, err := f.images(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := f.images(to)
	if err != nil {
		return err
	}
	defer target.Close()
	return source.CopyImported(ctx, target)
}

func (f *fleet) images(n *fleetNode) (*images.Store, error) {
	c, err := f.configOf(n)
	if err != nil {
		return nil, err
	}
	return images.Connect(c.RuntimeEndpoint())
}
