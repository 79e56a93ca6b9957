package devices

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/util/validation/field"
)

// list checks the items of a list of at most so many. A list that is too long is
// not looked into.
func list[T any](items []T, most int, item func(T, *field.Path) field.ErrorList, at *field.Path) field.ErrorList {
	if len(items) > most {
		return field.ErrorList{field.TooMany(at, len(items), most)}
	}
	var errs field.ErrorList
	for i := range items {
		errs = append(errs, item(items[i], at.Index(i))...)
	}
	return errs
}

// set is a list in which every key appears once.
func set[T any, K comparable](items []T, most int, item func(T, *field.Path) field.ErrorList, key func(T) K, at *field.Path) field.ErrorList {
	errs := list(items, most, item, at)
	if len(items) > most {
		return errs
	}
	seen := map[K]bool{}
	for i := range items {
		k := key(items[i])
		if seen[k] {
			errs = append(errs, field.Duplicate(at.Index(i), k))
		}
		seen[k] = true
	}
	return errs
}

// table checks keys and values of a map of at most so many, in the order of the
// keys. Long keys are cut in the middle where they stand for their values.
func table[K ~string, T any](m map[K]T, most, keyLength int, key func(K, *field.Path) field.ErrorList, value func(T, *field.Path) field.ErrorList, at *field.Path) field.ErrorList {
	if len(m) > most {
		return field.ErrorList{field.TooMany(at, len(m), most)}
	}
	var errs field.ErrorList
	for _, k := range slices.Sorted(maps.Keys(m)) {
		errs = append(errs, key(k, at)...)
		errs = append(errs, value(m[k], at.Key(shortened(string(k), keyLength)))...)
	}
	return errs
}

// unlimited is a length that no list has.
const unlimited = int(^uint(0) >> 1)

func shortened(s string, most int) string {
	most = max(most, 16)
	if len(s) <= most {
		return s
	}
	const dots = "..."
	left := most - len(dots)
	return s[:(left+1)/2] + dots + s[len(s)-left/2:]
}

func itself[T any](t T) T { return t }
