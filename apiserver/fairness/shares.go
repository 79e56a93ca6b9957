package fairness

import (
	"math"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	"k8s.io/utils/ptr"
)

// bounds are how many seats a level has: by its share, and between what and what
// lending and borrowing move that.
type bounds struct{ nominal, least, most int }

// share divides all seats among levels by their shares, as KEP-1040 says.
func share(total int, specs map[string]*flowcontrolv1.PriorityLevelConfigurationSpec) map[string]bounds {
	sum := 0.0
	for _, s := range specs {
		sum += float64(sharesOf(s))
	}
	out := map[string]bounds{}
	for name, s := range specs {
		var b bounds
		if sum > 0 {
			b.nominal = int(math.Ceil(float64(total) * float64(sharesOf(s)) / sum))
		}
		lendable, borrow := int32(0), (*int32)(nil)
		if e := s.Exempt; e != nil {
			lendable = ptr.Deref(e.LendablePercent, 0)
		}
		if l := s.Limited; l != nil {
			lendable, borrow = ptr.Deref(l.LendablePercent, 0), l.BorrowingLimitPercent
		}
		b.least = b.nominal - part(b.nominal, lendable)
		b.most = b.nominal + total
		if borrow != nil {
			b.most = b.nominal + part(b.nominal, *borrow)
		}
		out[name] = b
	}
	return out
}

func part(of int, percent int32) int { return int(math.Round(float64(of) * float64(percent) / 100)) }

func sharesOf(s *flowcontrolv1.PriorityLevelConfigurationSpec) int32 {
	switch {
	case s.Limited != nil:
		return ptr.Deref(s.Limited.NominalConcurrencyShares, 0)
	case s.Exempt != nil:
		return ptr.Deref(s.Exempt.NominalConcurrencyShares, 0)
	}
	return 0
}

// wish is what a level had to do lately.
type wish struct {
	bounds
	// high is the most that was wanted, smooth what is expected.
	high, smooth float64
}

// smoothing weighs what was expected against what came, period by period.
const smoothing = 0.977

// expect goes from what was expected to what is: more at once, less slowly.
func expect(was, mean, deviation float64) float64 {
	envelope := mean + deviation
	return max(envelope, smoothing*was+(1-smoothing)*envelope)
}

// lend divides seats anew. Every level keeps what it used, up to its share, and
// no less than it may not lend; what is left goes where more is expected, to all
// in the same proportion of what they expect, within their bounds.
func lend(total int, wishes []wish) []int {
	least, target := make([]float64, len(wishes)), make([]float64, len(wishes))
	sum, room := 0.0, 0.0
	for i, w := range wishes {
		least[i] = math.Max(float64(w.least), math.Min(float64(w.nominal), w.high))
		target[i] = math.Max(least[i], w.smooth)
		sum += least[i]
		room += float64(w.most)
	}
	out := make([]int, len(wishes))
	at := func(i int, fraction float64) float64 {
		return math.Min(math.Max(float64(wishes[i].most), least[i]), math.Max(least[i], fraction*target[i]))
	}
	given := func(fraction float64) (n float64) {
		for i := range wishes {
			n += at(i, fraction)
		}
		return n
	}
	fraction := 0.0
	if float64(total) > sum && room > 0 {
		// given grows with the fraction, so that the one which gives all can be
		// searched for.
		low, high := 0.0, 1.0
		for range 64 {
			if given(high) >= float64(total) || high > 1e9 {
				break
			}
			low, high = high, high*2
		}
		for range 64 {
			if fraction = (low + high) / 2; given(fraction) < float64(total) {
				low = fraction
			} else {
				high = fraction
			}
		}
	}
	for i := range wishes {
		out[i] = int(math.Round(at(i, fraction)))
	}
	return out
}
