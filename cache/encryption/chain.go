package encryption

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"k8s.io/apiserver/pkg/storage/value"
)

// encrypted is what every encrypted value begins with, and no other does: those
// of the cluster's own kinds begin with k8s\x00, those of custom resources with {.
var encrypted = []byte("k8s:enc:")

// method is one key of one provider: values that begin with its prefix are its.
type method struct {
	prefix []byte // empty: the clear
	value.Transformer
}

// chain is the methods of a resource. The first one writes.
type chain []method

// seal returns a value as it is to be stored under key.
func (c chain) seal(ctx context.Context, key string, plain []byte) ([]byte, error) {
	m := c[0]
	if len(m.prefix) == 0 {
		return plain, nil
	}
	sealed, err := m.TransformToStorage(ctx, plain, value.DefaultContext(key))
	if err != nil {
		return nil, fmt.Errorf("encrypt with %s: %w", m.name(), err)
	}
	return append(bytes.Clone(m.prefix), sealed...), nil
}

// open returns what was stored under key, and whether it should be stored anew,
// since another method than the first had to be used. Methods may share a prefix
// while keys are exchanged, so that an error of one is not the end.
func (c chain) open(ctx context.Context, key string, stored []byte) (plain []byte, stale bool, err error) {
	var errs []error
	for i, m := range c {
		if len(m.prefix) == 0 {
			if !bytes.HasPrefix(stored, encrypted) {
				return stored, i > 0, nil
			}
			continue
		}
		sealed, ok := bytes.CutPrefix(stored, m.prefix)
		if !ok {
			continue
		}
		plain, stale, err := m.TransformFromStorage(ctx, sealed, value.DefaultContext(key))
		if err == nil {
			return plain, stale || i > 0, nil
		}
		errs = append(errs, fmt.Errorf("%s does not open it, which is another key, or the value is damaged: %w", m.name(), err))
	}
	if len(errs) > 0 {
		return nil, false, fmt.Errorf("%w; bring back the key that it was encrypted with: without that the value is lost, and can only be removed from etcd itself", errors.Join(errs...))
	}
	return nil, false, unknown(stored)
}

// name is the method as it is called in the configuration.
func (m method) name() string { return name(m.prefix) }

// name of what a value with this prefix was encrypted with: provider and key.
func name(prefix []byte) string {
	parts := bytes.SplitN(prefix, []byte(":"), 6)
	if len(parts) < 5 {
		return "an unknown provider"
	}
	return fmt.Sprintf("%s %.64q", parts[2], parts[4])
}

// unknown says what is missing to read a value.
func unknown(stored []byte) error {
	if !bytes.HasPrefix(stored, encrypted) {
		return errors.New("the value is stored in the clear, which the EncryptionConfiguration does not allow for this resource: add the identity provider behind the others to read it")
	}
	return fmt.Errorf("the value is encrypted with %s, which the EncryptionConfiguration does not have for this resource: add that provider with its key to read it", name(stored[:min(len(stored), 512)]))
}
