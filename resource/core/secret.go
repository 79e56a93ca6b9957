package core

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// Secret is the row of secrets. stringData is a way to write, never stored.
func Secret() *resource.Definition {
	return resource.Row[*corev1.Secret]{
		Storage:      corev1.SchemeGroupVersion,
		Kind:         "Secret",
		Plural:       "secrets",
		New:          func() *corev1.Secret { return new(corev1.Secret) },
		NewList:      func() runtime.Object { return new(corev1.SecretList) },
		ValidateName: apivalidation.NameIsDNSSubdomain,
		Default:      defaultSecret,
		PrepareUpdate: func(_ *resource.Request, s, old *corev1.Secret) {
			// A type left out is the type that it has.
			if s.Type == "" {
				s.Type = old.Type
			}
		},
		Validate:       validateSecret,
		ValidateUpdate: validateSecretUpdate,
		Fields: func(s *corev1.Secret) map[string]string {
			return map[string]string{"type": string(s.Type)}
		},
		Warnings: secretWarnings,
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Type", corev1.Secret{}.SwaggerDoc()["type"]),
			columns.String("Data", corev1.Secret{}.SwaggerDoc()["data"]),
			columns.Age(),
		},
		Cells: func(s *corev1.Secret, now time.Time) []any {
			return []any{s.Name, string(s.Type), int64(len(s.Data)), columns.Since(s.CreationTimestamp, now)}
		},
	}.Define()
}

func defaultSecret(s *corev1.Secret) {
	if len(s.StringData) > 0 {
		data := maps.Clone(s.Data)
		if data == nil {
			data = map[string][]byte{}
		}
		for k, v := range s.StringData {
			data[k] = []byte(v)
		}
		s.Data = data
	}
	s.StringData = nil
	if s.Type == "" {
		s.Type = corev1.SecretTypeOpaque
	}
}

func validateSecret(s *corev1.Secret) field.ErrorList {
	var errs field.ErrorList
	data := field.NewPath("data")
	total := 0
	for _, k := range slices.Sorted(maps.Keys(s.Data)) {
		errs = append(errs, check.Messages(validation.IsConfigMapKey(k), k, data.Key(k))...)
		total += len(s.Data[k])
	}
	if total > corev1.MaxSecretSize {
		errs = append(errs, field.TooLong(data, "" /* not shown */, corev1.MaxSecretSize))
	}

	required := func(key string) bool {
		_, ok := s.Data[key]
		if !ok {
			errs = append(errs, field.Required(data.Key(key), ""))
		}
		return ok
	}
	// A configuration of Docker is well-formed JSON. Its content stays out of
	// the message.
	docker := func(key string) {
		if !required(key) {
			return
		}
		if err := json.Unmarshal(s.Data[key], &map[string]any{}); err != nil {
			errs = append(errs, field.Invalid(data.Key(key), "<secret contents redacted>", err.Error()))
		}
	}
	switch s.Type {
	case corev1.SecretTypeServiceAccountToken:
		if s.Annotations[corev1.ServiceAccountNameKey] == "" {
			errs = append(errs, field.Required(field.NewPath("metadata", "annotations").Key(corev1.ServiceAccountNameKey), ""))
		}
	case corev1.SecretTypeDockercfg:
		docker(corev1.DockerConfigKey)
	case corev1.SecretTypeDockerConfigJson:
		docker(corev1.DockerConfigJsonKey)
	case corev1.SecretTypeBasicAuth:
		_, user := s.Data[corev1.BasicAuthUsernameKey]
		_, password := s.Data[corev1.BasicAuthPasswordKey]
		if !user && !password {
			errs = append(errs, field.Required(data.Key(corev1.BasicAuthUsernameKey), ""))
			errs = append(errs, field.Required(data.Key(corev1.BasicAuthPasswordKey), ""))
		}
	case corev1.SecretTypeSSHAuth:
		if len(s.Data[corev1.SSHAuthPrivateKey]) == 0 {
			errs = append(errs, field.Required(data.Key(corev1.SSHAuthPrivateKey), ""))
		}
	case corev1.SecretTypeTLS:
		required(corev1.TLSCertKey)
		required(corev1.TLSPrivateKeyKey)
	}
	return errs
}

func validateSecretUpdate(s, old *corev1.Secret) field.ErrorList {
	errs := check.Unchanged(s.Type, old.Type, field.NewPath("type"))
	if ptr.Deref(old.Immutable, false) {
		const why = "field is immutable when `immutable` is set"
		if !ptr.Deref(s.Immutable, false) {
			errs = append(errs, field.Forbidden(field.NewPath("immutable"), why))
		}
		if !maps.EqualFunc(s.Data, old.Data, slices.Equal) {
			errs = append(errs, field.Forbidden(field.NewPath("data"), why))
		}
	}
	return append(errs, validateSecret(s)...)
}

func secretWarnings(s, old *corev1.Secret) []string {
	if s.Type == corev1.SecretTypeTLS && (old == nil || old.Type != corev1.SecretTypeTLS) {
		return tlsSecretWarnings(s)
	}
	return nil
}
