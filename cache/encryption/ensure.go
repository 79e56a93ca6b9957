package encryption

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"sigs.k8s.io/yaml"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiserverv1 "k8s.io/apiserver/pkg/apis/apiserver/v1"
)

// header explains the file to whoever opens it.
const header = `# How the objects of this cluster are encrypted in its store. Keep this file as
# carefully, and as long, as the data: what it encrypts cannot be read without it.
# An upstream kube-apiserver takes it by --encryption-provider-config.
`

// Ensure makes the configuration of a new cluster where the file is not there:
// Secrets are encrypted with secretbox and a new key, named after the day.
// Values in the clear stay readable. One process at a time may call it for a file.
func Ensure(path string, now time.Time) error {
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	data, err := fresh(now)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("make the folder of the EncryptionConfiguration: %w", err)
	}
	if err := write(path, data); err != nil {
		return fmt.Errorf("write the EncryptionConfiguration: %w", err)
	}
	return nil
}

func fresh(now time.Time) ([]byte, error) {
	var key [32]byte
	if _, err := rand.Read(key[:]); err != nil {
		return nil, err
	}
	c := apiserverv1.EncryptionConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: apiserverv1.SchemeGroupVersion.String(), Kind: "EncryptionConfiguration"},
		Resources: []apiserverv1.ResourceConfiguration{{
			Resources: []string{"secrets"},
			Providers: []apiserverv1.ProviderConfiguration{
				{Secretbox: &apiserverv1.SecretboxConfiguration{Keys: []apiserverv1.Key{{
					Name: "key-" + now.UTC().Format("20060102"), Secret: base64.StdEncoding.EncodeToString(key[:]),
				}}}},
				{Identity: &apiserverv1.IdentityConfiguration{}},
			},
		}},
	}
	data, err := yaml.Marshal(c)
	if err != nil {
		return nil, err
	}
	return append([]byte(header), data...), nil
}

// write makes a file that is there whole, also after a power cut, or not at all.
func write(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, ".encryption-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // where it has not got its name
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
