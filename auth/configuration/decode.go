package configuration

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/apis/apiserver/install"
)

// scheme knows all versions of the configurations.
var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	install.Install(s)
	return s
}()

// decoder refuses fields that a kind does not have.
var decoder = serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder()

// decode reads a configuration of one kind, with its defaults.
func decode[T any, P interface {
	*T
	runtime.Object
}](data []byte) (P, error) {
	obj, kind, err := decoder.Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	c, ok := obj.(P)
	if !ok {
		want, _, _ := scheme.ObjectKinds(P(new(T)))
		return nil, fmt.Errorf("it holds a %s, and not a %s of %s", kind.Kind, want[0].Kind, apiserver.GroupName)
	}
	return c, nil
}
