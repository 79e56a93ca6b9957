package batch

import (
	"fmt"
	"strconv"
	"strings"
)

// CountIndexes reads a list of completion indexes such as "1,3-5,7", ascending
// and all below completions, and returns how many there are.
func CountIndexes(list string, completions int32) (int32, error) {
	total := int32(0)
	err := eachInterval(list, completions, func(first, last int32) { total += last - first + 1 })
	return total, err
}

// firstCommonIndex finds the lowest index that stands in two valid lists.
func firstCommonIndex(a, b string, completions int32) (int32, bool) {
	type interval struct{ first, last int32 }
	var of [2][]interval
	for i, list := range []string{a, b} {
		if err := eachInterval(list, completions, func(first, last int32) {
			of[i] = append(of[i], interval{first, last})
		}); err != nil {
			return 0, false
		}
	}
	for x, y := of[0], of[1]; len(x) > 0 && len(y) > 0; {
		switch {
		case x[0].last < y[0].first:
			x = x[1:]
		case y[0].last < x[0].first:
			y = y[1:]
		default:
			return max(x[0].first, y[0].first), true
		}
	}
	return 0, false
}

func eachInterval(list string, completions int32, visit func(first, last int32)) error {
	if list == "" {
		return nil
	}
	previous := int32(-1)
	for _, part := range strings.Split(list, ",") {
		limits := strings.Split(part, "-")
		if len(limits) > 2 {
			return fmt.Errorf("the fragment %q violates the requirement that an index interval can have at most two parts separated by '-'", part)
		}
		first, err := parseIndex(limits[0], completions)
		if err != nil {
			return err
		}
		last := first
		if len(limits) == 2 {
			if last, err = parseIndex(limits[1], completions); err != nil {
				return err
			}
			if first >= last {
				return fmt.Errorf("non-increasing order, previous: %d, current: %d", first, last)
			}
		}
		if previous >= first {
			return fmt.Errorf("non-increasing order, previous: %d, current: %d", previous, first)
		}
		visit(first, last)
		previous = last
	}
	return nil
}

func parseIndex(s string, completions int32) (int32, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("cannot convert string to integer for index: %q", s)
	}
	if n >= int64(completions) {
		return 0, fmt.Errorf("too large index: %q", s)
	}
	return int32(n), nil
}
