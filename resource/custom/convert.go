package custom

import (
	"errors"
	"fmt"
	"maps"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// convert returns an object in another version, which shares with o what is the
// same in both. o is not changed.
func (k *Kind) convert(o *Object, to *Version) (*Object, error) {
	if o.version == to {
		return o, nil
	}
	if k.asks() {
		out, err := k.ask([]*Object{o}, to)
		if err != nil {
			return nil, err
		}
		return out[0], nil
	}
	return k.rename(o, to)
}

// asks reports whether a webhook converts.
func (k *Kind) asks() bool {
	c := k.crd.Spec.Conversion
	return c != nil && c.Strategy == apiextensionsv1.WebhookConverter
}

// rename converts by the name of the version alone. What the other version's
// schema does not know is dropped.
func (k *Kind) rename(o *Object, to *Version) (*Object, error) {
	out := k.called(o, to)
	if s, err := to.structural(); err != nil {
		return nil, err
	} else if !k.preserve {
		out.open()
		prune(out.tree, s, false)
		if err := out.seal(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// called is a copy of an object under the name of another version.
func (k *Kind) called(o *Object, to *Version) *Object {
	out := o.DeepCopyObject().(*Object)
	out.version = to
	if out.APIVersion != "" {
		out.APIVersion = to.gv.String()
	}
	return out
}

// coerced makes an object of a converted tree, with the metadata of the
// original but for labels and annotations.
func (v *Version) coerced(tree map[string]any, original *Object) (*Object, error) {
	out := v.New()
	if _, err := out.adopt(tree, coercion{}); err != nil {
		return nil, err
	}
	labels, annotations := out.Labels, out.Annotations
	original.ObjectMeta.DeepCopyInto(&out.ObjectMeta)
	out.Labels, out.Annotations = labels, annotations
	out.TypeMeta = original.TypeMeta
	if out.APIVersion != "" {
		out.APIVersion = v.gv.String()
	}
	return out, out.seal()
}

// checkConverted refuses what a webhook may not change.
func checkConverted(in, out map[string]any) error {
	for _, f := range []struct{ name, path string }{{"kind", ""}, {"name", "name"}, {"namespace", "namespace"}, {"UID", "uid"}} {
		var want, got any
		if f.path == "" {
			want, got = in["kind"], out["kind"]
		} else {
			want, got = textIn(in, f.path), textIn(out, f.path)
		}
		if want != got {
			return fmt.Errorf("must have the same %s: %v != %v", f.name, want, got)
		}
	}
	return nil
}

// textIn is a string of the metadata of a tree.
func textIn(tree map[string]any, name string) string {
	meta, _ := tree["metadata"].(map[string]any)
	s, _ := meta[name].(string)
	return s
}

// checkConvertedMetadata checks the labels and annotations that a webhook has
// returned: they are the metadata that it may change.
func checkConvertedMetadata(in *Object, out map[string]any) error {
	raw, found := out["metadata"]
	if !found {
		return errors.New("missing metadata in converted object")
	}
	meta, ok := raw.(map[string]any)
	if !ok {
		return fmt.Errorf("invalid metadata of type %T in converted object", raw)
	}
	for _, f := range []struct {
		name  string
		was   map[string]string
		check func(map[string]string, *field.Path) field.ErrorList
		at    *field.Path
	}{
		{"labels", in.Labels, metav1validation.ValidateLabels, field.NewPath("metadata", "labels")},
		{"annotations", in.Annotations, apivalidation.ValidateAnnotations, field.NewPath("metadata", "annotation")},
	} {
		raw, found := meta[f.name]
		if !found || raw == nil {
			continue
		}
		got, ok := raw.(map[string]any)
		if !ok {
			return fmt.Errorf("invalid metadata.%s of type %T in converted object", f.name, raw)
		}
		texts := make(map[string]string, len(got))
		for k, v := range got {
			s, ok := v.(string)
			if !ok {
				return fmt.Errorf("metadata.%s[%s] must be a string, but is %T in converted object", f.name, k, v)
			}
			texts[k] = s
		}
		if maps.Equal(texts, f.was) {
			continue
		}
		if errs := f.check(texts, f.at); len(errs) > 0 {
			return errs.ToAggregate()
		}
	}
	return nil
}
