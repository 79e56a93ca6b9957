package encryption

import (
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apiserver/pkg/apis/apiserver"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
	"k8s.io/apiserver/pkg/apis/apiserver/validation"
)

// decoder knows the configuration's kind, and refuses fields that it does not
// have.
var decoder = func() runtime.Decoder {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{apiserver.AddToScheme, apiserverv1.AddToScheme} {
		if err := add(scheme); err != nil {
			panic(err) // the types of two libraries do not fit together
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDecoder()
}()

// parse reads a configuration, and says everything that is wrong with it.
// Errors name no secret.
func parse(data []byte) (*apiserver.EncryptionConfiguration, error) {
	obj, kind, err := decoder.Decode(data, nil, nil)
	if err != nil {
		return nil, err
	}
	c, ok := obj.(*apiserver.EncryptionConfiguration)
	if !ok {
		return nil, fmt.Errorf("it holds a %s, and not an EncryptionConfiguration of apiserver.config.k8s.io/v1", kind.Kind)
	}
	if errs := validation.ValidateEncryptionConfiguration(c, true); len(errs) > 0 {
		return nil, errs.ToAggregate()
	}
	for i, r := range c.Resources {
		for j, p := range r.Providers {
			if p.KMS != nil && p.KMS.APIVersion == "v1" {
				return nil, fmt.Errorf("resources[%d].providers[%d].kms.apiVersion: %w", i, j, errKMSv1)
			}
		}
	}
	return c, nil
}

var errKMSv1 = errors.New("KMSv1 is deprecated, and not served. Use KMSv2 instead: set apiVersion to v2")
