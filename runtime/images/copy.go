package images

import (
	"context"
	"fmt"
	"io"

	cimages "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// importedLabel marks what Import has stored, as opposed to what was pulled, which
// can be pulled again.
const importedLabel = "proa.io/imported"

// CopyImported stores the imported images in another containerd, but for those that
// it has.
func (s *Store) CopyImported(ctx context.Context, to *Store) error {
	ctx = namespaces.WithNamespace(ctx, Namespace)
	list, err := s.client.ImageService().List(ctx, fmt.Sprintf("labels.%q==true", importedLabel))
	if err != nil {
		return fmt.Errorf("list imported images: %w", err)
	}
	for _, img := range list {
		has, err := to.client.ImageService().Get(ctx, img.Name)
		switch {
		case err == nil && has.Target.Digest == img.Target.Digest:
			continue
		case err != nil && !errdefs.IsNotFound(err):
			return fmt.Errorf("look up image %s: %w", img.Name, err)
		}
		if err := s.copy(ctx, img, to); err != nil {
			return fmt.Errorf("copy image %s: %w", img.Name, err)
		}
	}
	return nil
}

func (s *Store) copy(ctx context.Context, img cimages.Image, to *Store) error {
	r, w := io.Pipe()
	exported := make(chan error, 1)
	go func() {
		// Import has kept what this machine's platform needs of an index.
		err := s.client.Export(ctx, w, archive.WithImage(s.client.ImageService(), img.Name),
			archive.WithAllPlatforms(), archive.WithSkipMissing(s.client.ContentStore()))
		w.CloseWithError(err)
		exported <- err
	}()
	_, err := to.Import(ctx, r, img.Name)
	r.CloseWithError(err)
	if eerr := <-exported; err == nil {
		err = eerr
	}
	return err
}
