package image

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"
)

// CollectorConfig configures a Collector.
type CollectorConfig struct {
	Images  cri.ImageManagerService
	Runtime cri.ContainerManager
	// High and Low are percentages of disk usage: above High images are
	// removed until Low is reached. 85 and 80 if zero.
	High, Low int
	// MinAge keeps an image that was seen first less long ago; 2m if zero.
	// MaxAge removes what was unused for longer whatever the usage; 0 never.
	MinAge, MaxAge time.Duration
	// Every is the slow timer; 5m if zero.
	Every time.Duration
	// Present, if not nil, is told the ids of all images at each look for what
	// may go.
	Present func(ids map[string]bool)
	// Event records an event on the node; may be nil.
	Event func(eventType, reason, message string)
	// Disk tells capacity and available bytes of the file system at a path;
	// statfs if nil.
	Disk  func(path string) (capacity, available uint64, err error)
	Clock clock.WithTicker
	Log   *slog.Logger
}

// Collector removes unused images when the disk fills. Run and the methods
// may be called concurrently.
type Collector struct {
	cfg  CollectorConfig
	wake chan struct{}
	busy chan struct{} // holds one token; guards seen
	seen map[string]*record
}

// record is what is known of one image.
type record struct {
	first, used time.Time
	size        uint64
	pinned      bool
}

// NewCollector makes a Collector; nothing runs before Run.
func NewCollector(cfg CollectorConfig) *Collector {
	cfg.High, cfg.Low = cmp.Or(cfg.High, 85), cmp.Or(cfg.Low, 80)
	cfg.MinAge, cfg.Every = cmp.Or(cfg.MinAge, 2*time.Minute), cmp.Or(cfg.Every, 5*time.Minute)
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Disk == nil {
		cfg.Disk = statfs
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Collector{cfg: cfg, wake: make(chan struct{}, 1), busy: make(chan struct{}, 1), seen: map[string]*record{}}
}

// Pulled asks for a look soon. It never blocks.
func (c *Collector) Pulled() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// Run looks after pulls and on a slow timer until ctx ends.
func (c *Collector) Run(ctx context.Context) error {
	t := c.cfg.Clock.NewTicker(c.cfg.Every)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C():
		case <-c.wake:
		}
		if err := c.Collect(ctx); err != nil && ctx.Err() == nil {
			c.cfg.Log.Warn("collect images", "err", err)
		}
	}
}

// Collect removes images if usage is above the high threshold.
func (c *Collector) Collect(ctx context.Context) error {
	info, err := c.cfg.Images.ImageFsInfo(ctx)
	if err != nil {
		return fmt.Errorf("ask for the image file system: %w", err)
	}
	if len(info.GetImageFilesystems()) == 0 {
		return fmt.Errorf("the runtime reports no image file system")
	}
	capacity, available, err := c.cfg.Disk(info.ImageFilesystems[0].GetFsId().GetMountpoint())
	if err != nil {
		return err
	}
	if capacity == 0 {
		c.event("InvalidDiskCapacity", "invalid capacity 0 on image filesystem")
		return fmt.Errorf("invalid capacity 0 on image filesystem")
	}
	if c.cfg.MaxAge > 0 {
		if _, err := c.remove(ctx, 0, true); err != nil {
			return err
		}
	}
	if used := 100 - int(available*100/capacity); used < c.cfg.High {
		return nil
	}
	need := int64(capacity*uint64(100-c.cfg.Low)/100) - int64(available)
	freed, err := c.remove(ctx, need, false)
	if err != nil {
		return err
	}
	if freed < need {
		msg := fmt.Sprintf("Failed to garbage collect required amount of images. Attempted to free %d bytes, but only found %d bytes eligible to free.", need, freed)
		c.event("FreeDiskSpaceFailed", msg)
		return fmt.Errorf("%s", msg)
	}
	return nil
}

// DeleteUnused removes every unused image, for eviction.
func (c *Collector) DeleteUnused(ctx context.Context) error {
	_, err := c.remove(ctx, 1<<62, false)
	return err
}

func (c *Collector) event(reason, msg string) {
	if c.cfg.Event != nil {
		c.cfg.Event(corev1.EventTypeWarning, reason, msg)
	}
}

// remove frees at least need bytes if it can, oldest use first, or with
// agedOnly whatever is past MaxAge, and says how many bytes it freed.
func (c *Collector) remove(ctx context.Context, need int64, agedOnly bool) (freed int64, err error) {
	select {
	case c.busy <- struct{}{}:
		defer func() { <-c.busy }()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	now := c.cfg.Clock.Now()
	if err := c.detect(ctx, now); err != nil {
		return 0, err
	}
	for _, id := range candidates(c.seen, now, c.cfg.MinAge, c.cfg.MaxAge, agedOnly) {
		if !agedOnly && freed >= need {
			break
		}
		if err := c.cfg.Images.RemoveImage(ctx, &runtimeapi.ImageSpec{Image: id}); err != nil {
			c.cfg.Log.Warn("remove image", "image", id, "err", err)
			continue
		}
		freed += int64(c.seen[id].size)
		delete(c.seen, id)
	}
	return freed, nil
}

// detect brings seen up to date. An image in use is used now.
func (c *Collector) detect(ctx context.Context, now time.Time) error {
	images, err := c.cfg.Images.ListImages(ctx, nil)
	if err != nil {
		return fmt.Errorf("list images: %w", err)
	}
	containers, err := c.cfg.Runtime.ListContainers(ctx, nil)
	if err != nil {
		return fmt.Errorf("list containers: %w", err)
	}
	used := map[string]bool{}
	for _, k := range containers {
		used[k.ImageId], used[k.ImageRef], used[k.GetImage().GetImage()] = true, true, true
	}
	there := map[string]bool{}
	for _, i := range images {
		there[i.Id] = true
		r, ok := c.seen[i.Id]
		if !ok {
			r = &record{first: now}
			c.seen[i.Id] = r
		}
		r.size, r.pinned = i.Size, i.Pinned
		names := append(append([]string{i.Id}, i.RepoTags...), i.RepoDigests...)
		if slices.ContainsFunc(names, func(n string) bool { return used[n] }) {
			r.used = now
		}
	}
	for id := range c.seen {
		if !there[id] {
			delete(c.seen, id)
		}
	}
	if c.cfg.Present != nil {
		c.cfg.Present(there)
	}
	return nil
}

// candidates lists the images that may go, the longest unused first. Pure.
func candidates(seen map[string]*record, now time.Time, minAge, maxAge time.Duration, agedOnly bool) []string {
	var out []string
	for id, r := range seen {
		if r.pinned || r.used.Equal(now) || now.Sub(r.first) < minAge {
			continue
		}
		last := r.used
		if last.IsZero() {
			last = r.first
		}
		if agedOnly && now.Sub(last) < maxAge {
			continue
		}
		out = append(out, id)
	}
	slices.SortFunc(out, func(a, b string) int {
		return cmp.Or(seen[a].used.Compare(seen[b].used), seen[a].first.Compare(seen[b].first), cmp.Compare(a, b))
	})
	return out
}

func statfs(path string) (capacity, available uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return 0, 0, fmt.Errorf("statfs %s: %w", path, err)
	}
	return s.Blocks * uint64(s.Bsize), s.Bavail * uint64(s.Bsize), nil
}
