package image

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

type fakeStore struct {
	cri.ImageManagerService
	cri.ContainerManager
	images     []*runtimeapi.Image
	containers []*runtimeapi.Container
	free       uint64
	removed    []string
}

func (f *fakeStore) ImageFsInfo(context.Context) (*runtimeapi.ImageFsInfoResponse, error) {
	return &runtimeapi.ImageFsInfoResponse{ImageFilesystems: []*runtimeapi.FilesystemUsage{{FsId: &runtimeapi.FilesystemIdentifier{Mountpoint: "/x"}}}}, nil
}

func (f *fakeStore) ListImages(context.Context, *runtimeapi.ImageFilter) ([]*runtimeapi.Image, error) {
	return f.images, nil
}

func (f *fakeStore) ListContainers(context.Context, *runtimeapi.ContainerFilter) ([]*runtimeapi.Container, error) {
	return f.containers, nil
}

func (f *fakeStore) RemoveImage(_ context.Context, s *runtimeapi.ImageSpec) error {
	f.removed = append(f.removed, s.Image)
	for _, i := range f.images {
		if i.Id == s.Image {
			f.free += i.Size
		}
	}
	f.images = slices.DeleteFunc(slices.Clone(f.images), func(i *runtimeapi.Image) bool { return i.Id == s.Image })
	return nil
}

func TestCollectorFreesDownToTheLowThreshold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &fakeStore{free: 50}
		c := NewCollector(CollectorConfig{Images: f, Runtime: f, Disk: func(string) (uint64, uint64, error) { return 100, f.free, nil }})
		img := func(id string) *runtimeapi.Image { return &runtimeapi.Image{Id: id, Size: 4} }
		f.images = []*runtimeapi.Image{img("used"), img("older"), {Id: "pinned", Size: 4, Pinned: true}}
		f.containers = []*runtimeapi.Container{{ImageId: "used"}}
		if err := c.DeleteUnused(t.Context()); err != nil || len(f.removed) != 0 {
			t.Fatalf("too young, yet removed %v %v", f.removed, err)
		}
		time.Sleep(time.Minute)
		f.images = append(f.images, img("old"), img("new"))
		if err := c.DeleteUnused(t.Context()); err != nil || len(f.removed) != 0 {
			t.Fatalf("too young, yet removed %v %v", f.removed, err)
		}
		time.Sleep(10 * time.Minute)
		f.images = append(f.images, img("youngest"))
		// Below the threshold nothing happens.
		f.free = 16
		if err := c.Collect(t.Context()); err != nil || len(f.removed) != 0 {
			t.Fatalf("%v %v", f.removed, err)
		}
		f.free = 13
		if err := c.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if want := []string{"older", "new"}; !slices.Equal(f.removed, want) {
			t.Errorf("removed %v, want %v", f.removed, want)
		}
		// What cannot be freed is said.
		f.free = 0
		err := c.Collect(t.Context())
		want := "Failed to garbage collect required amount of images. Attempted to free 20 bytes, but only found 4 bytes eligible to free."
		if err == nil || err.Error() != want {
			t.Errorf("got %v", err)
		}
		if slices.Contains(f.removed, "used") || slices.Contains(f.removed, "pinned") || slices.Contains(f.removed, "youngest") {
			t.Errorf("removed %v", f.removed)
		}
	})
}

func TestCollectorLooksAfterAPullAndEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		looks := 0
		f := &fakeStore{}
		c := NewCollector(CollectorConfig{Images: f, Runtime: f, Disk: func(string) (uint64, uint64, error) { looks++; return 100, 100, nil }})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { c.Run(ctx); close(done) }()
		synctest.Wait()
		c.Pulled()
		synctest.Wait()
		if looks != 1 {
			t.Errorf("%d looks", looks)
		}
		cancel()
		<-done
	})
}
