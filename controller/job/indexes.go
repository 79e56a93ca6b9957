package job

import (
	"slices"
	"strconv"
	"strings"
)

// span is a range of indexes, both ends included.
type span struct{ first, last int }

// indexes is a set of completion indexes, as ascending spans that do not touch.
type indexes []span

// parseIndexes reads a list as it stands in a status, such as "1,3-5". What is
// not below completions is left out; it was completed before the job was made
// smaller. So is what is no number.
func parseIndexes(list string, completions int) indexes {
	var x indexes
	if list == "" {
		return x
	}
	for part := range strings.SplitSeq(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil || first < 0 {
			continue
		}
		last := first
		if ranged {
			if last, err = strconv.Atoi(to); err != nil {
				continue
			}
		}
		if last = min(last, completions-1); last >= first {
			x = append(x, span{first, last})
		}
	}
	return x.union(nil)
}

// union returns what is in either set. y need not be in order.
func (x indexes) union(y indexes) indexes {
	all := append(slices.Clone(x), y...)
	slices.SortFunc(all, func(a, b span) int { return a.first - b.first })
	var out indexes
	for _, s := range all {
		if n := len(out); n > 0 && s.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, s.last)
		} else {
			out = append(out, s)
		}
	}
	return out
}

// with returns the set with more indexes.
func (x indexes) with(more ...int) indexes {
	y := make(indexes, 0, len(more))
	for _, i := range more {
		y = append(y, span{i, i})
	}
	return x.union(y)
}

func (x indexes) has(i int) bool {
	n, found := slices.BinarySearchFunc(x, i, func(s span, i int) int { return s.first - i })
	return found || n > 0 && x[n-1].last >= i
}

func (x indexes) count() (n int) {
	for _, s := range x {
		n += s.last - s.first + 1
	}
	return n
}

// common is how many indexes are in both sets.
func (x indexes) common(y indexes) (n int) {
	for len(x) > 0 && len(y) > 0 {
		n += max(0, min(x[0].last, y[0].last)-max(x[0].first, y[0].first)+1)
		if x[0].last < y[0].last {
			x = x[1:]
		} else {
			y = y[1:]
		}
	}
	return n
}

// missing returns the lowest n indexes below completions that are not in the
// set.
func (x indexes) missing(n, completions int) []int {
	var out []int
	next := 0
	for _, s := range append(slices.Clone(x), span{completions, completions}) {
		for ; next < min(s.first, completions) && len(out) < n; next++ {
			out = append(out, next)
		}
		next = max(next, s.last+1)
	}
	return out
}

// String writes the set as it stands in a status.
func (x indexes) String() string {
	var parts []string
	for _, s := range x {
		part := strconv.Itoa(s.first)
		switch {
		case s.last == s.first+1:
			part += "," + strconv.Itoa(s.last)
		case s.last > s.first:
			part += "-" + strconv.Itoa(s.last)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}
