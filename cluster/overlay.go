package cluster

import "reflect"

// Overlay replaces every field that is set in o. Port fields that point at
// unset count as not set, since 0 is a choice there.
func (c *Config) Overlay(o *Config, unset int) {
	overlay(reflect.ValueOf(c).Elem(), reflect.ValueOf(o).Elem(), unset)
}

func overlay(dst, src reflect.Value, unset int) {
	for i := range src.NumField() {
		s, d := src.Field(i), dst.Field(i)
		switch {
		case s.Kind() == reflect.Struct:
			overlay(d, s, unset)
		case s.IsZero(), s.Kind() == reflect.Map && s.Len() == 0:
		case s.Kind() == reflect.Pointer && s.Elem().Kind() == reflect.Int && int(s.Elem().Int()) == unset:
		default:
			d.Set(s)
		}
	}
}
