package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	cimages "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"google.golang.org/grpc"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Namespace is where CRI keeps its images and containers in containerd.
const Namespace = "k8s.io"

// Store keeps images in a containerd. It is safe for concurrent use.
type Store struct {
	client *containerd.Client
	cri    runtimeapi.ImageServiceClient
}

// Connect opens a connection to the containerd behind a CRI endpoint: the path
// of a unix socket, with or without unix://. Other runtimes have no common way
// to take an archive; for them the error says so at the first call.
func Connect(endpoint string) (*Store, error) {
	socket := strings.TrimPrefix(endpoint, "unix://")
	if !strings.HasPrefix(socket, "/") {
		return nil, fmt.Errorf("container runtime endpoint %q: images can be imported over a unix socket only", endpoint)
	}
	client, err := containerd.New(socket, containerd.WithDefaultNamespace(Namespace), containerd.WithTimeout(5*time.Second))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd on %s: %w", socket, err)
	}
	conn, ok := client.Conn().(grpc.ClientConnInterface)
	if !ok {
		client.Close()
		return nil, fmt.Errorf("containerd on %s: unexpected kind of connection %T", socket, client.Conn())
	}
	return &Store{client: client, cri: runtimeapi.NewImageServiceClient(conn)}, nil
}

// Close ends the connection.
func (s *Store) Close() error { return s.client.Close() }

// Imported is an image that Import stored.
type Imported struct {
	// Name is the full reference under which it is known.
	Name string
	// Digest is that of its manifest or index.
	Digest digest.Digest
}

// ErrNoName means that an archive says of none of its images what it is called.
var ErrNoName = errors.New("the archive holds no image name: give one")

// Import stores the images of an archive for this machine's platform, unpacks
// them, and waits until CRI sees them. name is given to an image that the
// archive does not name; with an empty name such an archive is refused with
// ErrNoName. An image of the same name is replaced.
func (s *Store) Import(ctx context.Context, r io.Reader, name string) ([]Imported, error) {
	ctx = namespaces.WithNamespace(ctx, Namespace)
	// Without a lease, the garbage collector may take content or snapshots
	// between their arrival and the image that refers to them.
	ctx, done, err := s.client.WithLease(ctx, leases.WithRandomID(), leases.WithExpiration(time.Hour))
	if err != nil {
		return nil, fmt.Errorf("import image: %w", err)
	}
	defer func() { _ = done(context.WithoutCancel(ctx)) }() // it expires otherwise

	index, err := archive.ImportIndex(ctx, s.client.ContentStore(), r)
	if err != nil {
		return nil, fmt.Errorf("import image: read archive: %w", err)
	}
	found, err := s.name(ctx, index, name)
	if err != nil {
		return nil, err
	}
	snapshotter, err := s.snapshotter(ctx)
	if err != nil {
		return nil, err
	}
	var out []Imported
	for _, img := range found {
		if err := s.store(ctx, img, snapshotter); err != nil {
			return out, fmt.Errorf("import image %s: %w", img.Name, err)
		}
		out = append(out, Imported{Name: img.Name, Digest: img.Target.Digest})
	}
	for _, img := range out {
		if err := s.waitVisible(ctx, img.Name); err != nil {
			return out, fmt.Errorf("import image %s: %w", img.Name, err)
		}
	}
	return out, nil
}

// Ensure imports the archive in a file unless its image is there already, byte
// for byte. It reports whether it imported anything.
func (s *Store) Ensure(ctx context.Context, file string) (imported bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return false, fmt.Errorf("import image: %w", err)
	}
	defer f.Close()
	if index, err := peekIndex(f); err == nil {
		if there, err := s.has(ctx, index); err != nil || there {
			return false, err
		}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return false, fmt.Errorf("import image: %w", err)
	}
	if _, err := s.Import(ctx, f, ""); err != nil {
		return false, fmt.Errorf("%s: %w", file, err)
	}
	return true, nil
}

// has tells whether every image of an index is stored with the same content.
func (s *Store) has(ctx context.Context, index ocispec.Index) (bool, error) {
	ctx = namespaces.WithNamespace(ctx, Namespace)
	snapshotter, err := s.snapshotter(ctx)
	if err != nil {
		return false, err
	}
	for _, m := range index.Manifests {
		img, err := s.client.ImageService().Get(ctx, m.Annotations[cimages.AnnotationImageName])
		switch {
		case errdefs.IsNotFound(err):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("look up image: %w", err)
		case img.Target.Digest != m.Digest:
			return false, nil
		}
		unpacked, err := containerd.NewImage(s.client, img).IsUnpacked(ctx, snapshotter)
		if err != nil || !unpacked {
			return false, nil // importing again repairs it, or says why not
		}
		if err := s.waitVisible(ctx, img.Name); err != nil {
			return false, err
		}
	}
	return len(index.Manifests) > 0, nil
}

// name gives every image of an imported index its full reference.
func (s *Store) name(ctx context.Context, index ocispec.Descriptor, fallback string) ([]cimages.Image, error) {
	manifests, err := cimages.Children(ctx, s.client.ContentStore(), index)
	if err != nil {
		return nil, fmt.Errorf("import image: read archive's index: %w", err)
	}
	var out []cimages.Image
	for _, m := range manifests {
		if !cimages.IsManifestType(m.MediaType) && !cimages.IsIndexType(m.MediaType) {
			continue
		}
		if ref := imageRef(m.Annotations); ref != "" {
			out = append(out, cimages.Image{Name: ref, Target: m})
		}
	}
	if len(out) > 0 {
		return out, nil
	}
	if fallback == "" {
		return nil, ErrNoName
	}
	ref, err := Normalize(fallback)
	if err != nil {
		return nil, err
	}
	target := index
	if len(manifests) == 1 {
		target = manifests[0]
	}
	return []cimages.Image{{Name: ref, Target: target}}, nil
}

// imageRef finds a full reference among a manifest's annotations. A bare tag,
// which is all that the OCI layout prescribes, is none.
func imageRef(annotations map[string]string) string {
	for _, key := range []string{cimages.AnnotationImageName, ocispec.AnnotationRefName} {
		v := annotations[key]
		if !strings.ContainsAny(v, ":/@") {
			continue
		}
		if ref, err := Normalize(v); err == nil {
			return ref
		}
	}
	return ""
}

// Normalize expands a short image name to the full reference that the runtime
// knows it by: nginx is docker.io/library/nginx:latest.
func Normalize(name string) (string, error) {
	named, err := reference.ParseDockerRef(name)
	if err != nil {
		return "", fmt.Errorf("image name %q: %w", name, err)
	}
	return named.String(), nil
}

// snapshotter is the one that CRI unpacks images with. containerd does not tell,
// but it is overlayfs wherever that works, by containerd's default and ours.
func (s *Store) snapshotter(ctx context.Context) (string, error) {
	const overlay, fallback = "overlayfs", "native"
	resp, err := s.client.IntrospectionService().Plugins(ctx, "type=="+string(plugins.SnapshotPlugin))
	if err != nil {
		return "", fmt.Errorf("ask containerd for its snapshotters: %w", err)
	}
	for _, p := range resp.Plugins {
		if p.ID == overlay && p.InitErr == nil {
			return overlay, nil
		}
	}
	return fallback, nil
}

// store records an image whose content is in the content store, and unpacks it.
func (s *Store) store(ctx context.Context, img cimages.Image, snapshotter string) error {
	cs := s.client.ContentStore()
	// Each blob refers to its children by label, which is what keeps them from
	// the garbage collector.
	handler := cimages.SetChildrenLabels(cs, cimages.FilterPlatforms(cimages.ChildrenHandler(cs), platforms.Default()))
	if err := cimages.WalkNotEmpty(ctx, handler, img.Target); err != nil {
		return err
	}
	// Unpack before the name exists: whoever sees the image can run it.
	if err := containerd.NewImage(s.client, img).Unpack(ctx, snapshotter); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	img.Labels = map[string]string{importedLabel: "true"}
	is := s.client.ImageService()
	_, err := is.Create(ctx, img)
	if errdefs.IsAlreadyExists(err) {
		_, err = is.Update(ctx, img, "target", "labels."+importedLabel)
	}
	return err
}

// waitVisible returns when CRI's image list has the name. containerd tells its
// CRI plugin by an event, and nobody when the plugin has dealt with it; it takes
// a millisecond or so, hence the short and bounded repetition.
func (s *Store) waitVisible(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for wait := time.Millisecond; ; wait = min(2*wait, 100*time.Millisecond) {
		resp, err := s.cri.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: name}})
		if err != nil {
			return fmt.Errorf("ask CRI for it: %w", err)
		}
		if resp.Image != nil {
			return nil
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return errors.New("stored, but CRI does not list it")
		}
	}
}
