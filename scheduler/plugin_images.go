package scheduler

import "strings"

// imageLocality prefers nodes that hold the pod's images already, the more so
// the larger they are. (Upstream also weighs by how many nodes hold an image;
// that needs the whole cluster and is left out, so that the score of a node
// depends on this node alone.)
type imageLocality struct{}

func (imageLocality) Name() string { return "ImageLocality" }

func (imageLocality) Weight() int64 { return 1 }

// The sizes between which the score rises, per container: upstream's.
const (
	minImage = 23 << 20
	maxImage = 1000 << 20
)

func (imageLocality) Score(s *shape, n *node) int64 {
	if len(s.images) == 0 {
		return 0
	}
	var sum int64
	for _, name := range s.images {
		sum += n.images[name]
	}
	lo, hi := int64(minImage), int64(maxImage)*int64(len(s.images))
	sum = min(max(sum, lo), hi)
	return maxScore * (sum - lo) / (hi - lo)
}

func (imageLocality) Relative() bool { return false }

func (imageLocality) Normalize(raw, _ int64) int64 { return raw }

// normalImage adds the tag that is meant where none is given.
func normalImage(name string) string {
	if strings.LastIndex(name, ":") <= strings.LastIndex(name, "/") && !strings.Contains(name, "@") {
		return name + ":latest"
	}
	return name
}
