package evict

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Signal is something that can run out.
type Signal string

// The signals, by their names in the configuration.
const (
	Memory      Signal = "memory.available"
	NodeDisk    Signal = "nodefs.available"
	NodeInodes  Signal = "nodefs.inodesFree"
	ImageDisk   Signal = "imagefs.available"
	ImageInodes Signal = "imagefs.inodesFree"
	Processes   Signal = "pid.available"
)

// Resources that are none of the API's.
const (
	resourceInodes v1.ResourceName = "inodes"
	resourcePids   v1.ResourceName = "pids"
)

var signals = []Signal{Memory, NodeDisk, NodeInodes, ImageDisk, ImageInodes, Processes}

// resource that pods are told they used too much of.
func (s Signal) resource() v1.ResourceName {
	switch s {
	case Memory:
		return v1.ResourceMemory
	case NodeInodes, ImageInodes:
		return resourceInodes
	case Processes:
		return resourcePids
	}
	return v1.ResourceEphemeralStorage
}

func (s Signal) isDisk() bool { return s != Memory && s != Processes }

// Threshold is the least of something that must be left.
type Threshold struct {
	Signal Signal
	// Quantity, or Percent of the capacity.
	Quantity int64
	Percent  float64
	// Grace is how long a soft threshold may be passed before pods are ended; 0
	// is a hard threshold.
	Grace time.Duration
}

// Least returns the threshold in the signal's unit.
func (t Threshold) Least(capacity int64) int64 {
	if t.Percent > 0 {
		return int64(t.Percent / 100 * float64(capacity))
	}
	return t.Quantity
}

// ParseThresholds reads hard thresholds, and soft ones with their grace periods.
// Signals are in a fixed order, what runs out fastest first.
func ParseThresholds(hard, soft, grace map[string]string) ([]Threshold, error) {
	var out []Threshold
	for name, text := range hard {
		t, err := parse(name, text)
		if err != nil {
			return nil, err
		}
		out = append(out, t...)
	}
	for name, text := range soft {
		t, err := parse(name, text)
		if err != nil {
			return nil, err
		}
		for i := range t {
			if t[i].Grace, err = time.ParseDuration(grace[name]); err != nil || t[i].Grace <= 0 {
				return nil, fmt.Errorf("soft eviction threshold %s=%s needs a grace period", name, text)
			}
		}
		out = append(out, t...)
	}
	slices.SortFunc(out, func(a, b Threshold) int {
		return cmp.Or(slices.Index(signals, a.Signal)-slices.Index(signals, b.Signal), cmp.Compare(a.Grace, b.Grace))
	})
	return out, nil
}

// parse reads one threshold; none if it is turned off.
func parse(name, text string) ([]Threshold, error) {
	t := Threshold{Signal: Signal(name)}
	if !slices.Contains(signals, t.Signal) {
		if strings.HasPrefix(name, "containerfs.") || strings.HasPrefix(name, "allocatableMemory.") {
			return nil, nil // follows from the others
		}
		return nil, fmt.Errorf("unknown eviction signal %q", name)
	}
	if p, ok := strings.CutSuffix(text, "%"); ok {
		f, err := strconv.ParseFloat(p, 64)
		if err != nil || f < 0 || f >= 100 {
			return nil, fmt.Errorf("eviction threshold %s: %q is not a percentage", name, text)
		}
		t.Percent = f
	} else {
		q, err := resource.ParseQuantity(text)
		if err != nil || q.Sign() < 0 {
			return nil, fmt.Errorf("eviction threshold %s: %q is not a quantity", name, text)
		}
		t.Quantity = q.Value()
	}
	if t.Percent == 0 && t.Quantity == 0 {
		return nil, nil
	}
	return []Threshold{t}, nil
}
