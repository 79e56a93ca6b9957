package stream

import (
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// readQuery sets the fields of an options struct from the query parameters of
// their JSON names. Parameters that it has no field for are left alone, as
// clients of other versions may send more.
func readQuery(query url.Values, into any) error {
	v := reflect.ValueOf(into).Elem()
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		values, ok := query[name]
		if name == "" || !ok || len(values) == 0 {
			continue
		}
		if err := setField(v.Field(i), values); err != nil {
			return fmt.Errorf("query parameter %s: %w", name, err)
		}
	}
	return nil
}

var timeType = reflect.TypeFor[metav1.Time]()

func setField(f reflect.Value, values []string) error {
	if f.Kind() == reflect.Pointer {
		p := reflect.New(f.Type().Elem())
		if err := setField(p.Elem(), values); err != nil {
			return err
		}
		f.Set(p)
		return nil
	}
	if f.Kind() == reflect.Slice {
		list := reflect.MakeSlice(f.Type(), len(values), len(values))
		for i := range values {
			if err := setField(list.Index(i), values[i:i+1]); err != nil {
				return err
			}
		}
		f.Set(list)
		return nil
	}
	s := values[0]
	switch {
	case f.Type() == timeType:
		t, err := time.Parse(time.RFC3339, s)
		if err != nil {
			return err
		}
		f.Set(reflect.ValueOf(metav1.NewTime(t)))
	case f.Kind() == reflect.Bool:
		// As everywhere in the API: no value, or any but these, means yes.
		f.SetBool(s != "false" && s != "0")
	case f.CanInt():
		n, err := strconv.ParseInt(s, 10, f.Type().Bits())
		if err != nil {
			return fmt.Errorf("%q is not a number", s)
		}
		f.SetInt(n)
	case f.Kind() == reflect.String:
		f.SetString(s)
	default:
		return fmt.Errorf("cannot be given in a query")
	}
	return nil
}
