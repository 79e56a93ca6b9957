package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	imageutils "k8s.io/kubernetes/test/utils/image"

	"proa/test/conformance/programs"
)

// Build makes the archive of all images and returns its path. It lies beside the
// programs in it, and is made again when they are others. pause is the program
// of that name.
func Build(ctx context.Context, b *programs.Builder, pause string) (string, error) {
	path := filepath.Join(b.Dir(), "images-"+revision+".tar")
	if _, err := os.Stat(path); err == nil {
		return path, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	fmt.Fprintln(os.Stderr, "making the images")
	layers, err := makeLayers(ctx, b, pause)
	if err != nil {
		return "", err
	}
	all := map[name.Tag]v1.Image{}
	for _, r := range recipes {
		img, err := r.image(layers)
		if err != nil {
			return "", fmt.Errorf("image %s: %w", r.name(), err)
		}
		tag, err := name.NewTag(r.name())
		if err != nil {
			return "", err
		}
		all[tag] = img
	}
	tmp := path + ".new"
	if err := tarball.MultiWriteToFile(tmp, all); err != nil {
		return "", fmt.Errorf("write the images: %w", err)
	}
	return path, os.Rename(tmp, path)
}

// image stacks a recipe's layers.
func (r recipe) image(layers map[string]v1.Layer) (v1.Image, error) {
	img := empty.Image
	for _, n := range r.layers {
		l, ok := layers[n]
		if !ok {
			return nil, fmt.Errorf("no layer is called %q", n)
		}
		var err error
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return nil, err
		}
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Config = "linux", "amd64", r.config
	// Two images of the same layers are two images.
	file.Author = r.name()
	return mutate.ConfigFile(img, file)
}

func (r recipe) name() string { return imageutils.GetE2EImage(r.id) }
