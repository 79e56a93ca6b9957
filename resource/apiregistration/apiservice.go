package apiregistration

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// APIServiceRow is the row of API services.
func APIServiceRow() *resource.Definition {
	return resource.Row[*APIService]{
		Storage:                SchemeGroupVersion,
		Kind:                   "APIService",
		AnyFinalizer:           true,
		Plural:                 "apiservices",
		Prefix:                 "apiregistration.k8s.io/apiservices",
		Categories:             []string{"api-extensions"},
		ClusterScoped:          true,
		RequireResourceVersion: true,
		New:                    func() *APIService { return new(APIService) },
		NewList:                func() runtime.Object { return new(APIServiceList) },
		ValidateName:           path.ValidatePathSegmentName,
		Default: func(s *APIService) {
			if ref := s.Spec.Service; ref != nil && ref.Port == nil {
				ref.Port = ptr.To(int32(443))
			}
		},
		PrepareCreate: func(req *resource.Request, s *APIService) {
			s.Status = APIServiceStatus{}
			if s.Spec.Service == nil {
				s.SetCondition(LocallyAvailable(req.Now))
			}
		},
		PrepareUpdate: func(_ *resource.Request, s, old *APIService) { s.Status = *old.Status.DeepCopy() },
		Validate:      validate,
		ValidateUpdate: func(s, _ *APIService) field.ErrorList {
			return validate(s)
		},
		Updates: map[string]resource.Update[*APIService]{"status": {
			Restored: []string{"metadata"},
			PrepareUpdate: func(_ *resource.Request, s, old *APIService) {
				old = old.DeepCopy()
				s.Spec = old.Spec
				s.Labels, s.Annotations, s.Finalizers, s.OwnerReferences = old.Labels, old.Annotations, old.Finalizers, old.OwnerReferences
			},
			ValidateUpdate: func(s, _ *APIService) field.ErrorList { return validateStatus(s) },
		}},
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Service", "The reference to the service that hosts this API endpoint."),
			columns.String("Available", "Whether this service is available."),
			columns.Age(),
		},
		Cells: func(s *APIService, now time.Time) []any {
			service, available := "Local", string(metav1.ConditionUnknown)
			if ref := s.Spec.Service; ref != nil {
				service = ref.Namespace + "/" + ref.Name
			}
			if c := s.Condition(Available); c != nil {
				available = string(c.Status)
				if c.Status != metav1.ConditionTrue && c.Reason != "" {
					available += " (" + c.Reason + ")"
				}
			}
			return []any{s.Name, service, available, columns.Since(s.CreationTimestamp, now)}
		},
	}.Define()
}

// LocallyAvailable is the condition of what this server serves itself.
func LocallyAvailable(now metav1.Time) APIServiceCondition {
	return APIServiceCondition{
		Type: Available, Status: metav1.ConditionTrue, Reason: "Local", Message: "Local APIServices are always available", LastTransitionTime: now,
	}
}

// Limits of priorities.
const (
	maxGroupPriority   = 20000
	maxVersionPriority = 1000
)

func validate(s *APIService) field.ErrorList {
	var errs field.ErrorList
	// A name that cannot be one is refused for that.
	if want := s.Spec.Version + "." + s.Spec.Group; s.Name != want && s.Name != "" && len(path.ValidatePathSegmentName(s.Name, false)) == 0 {
		errs = append(errs, field.Invalid(field.NewPath("metadata", "name"), s.Name, fmt.Sprintf("must be `spec.version+\".\"+spec.group`: %q", want)))
	}
	at := field.NewPath("spec")
	switch g := s.Spec.Group; {
	case g != "":
		errs = append(errs, check.Subdomain(g, at.Child("group"))...)
	case s.Spec.Version != "v1":
		errs = append(errs, field.Required(at.Child("group"), "only v1 may have an empty group and it better be legacy kube"))
	}
	errs = append(errs, check.Messages(validation.IsDNS1035Label(s.Spec.Version), s.Spec.Version, at.Child("version"))...)
	if p := s.Spec.GroupPriorityMinimum; p <= 0 || p > maxGroupPriority {
		errs = append(errs, field.Invalid(at.Child("groupPriorityMinimum"), p, "must be positive and less than 20000"))
	}
	if p := s.Spec.VersionPriority; p <= 0 || p > maxVersionPriority {
		errs = append(errs, field.Invalid(at.Child("versionPriority"), p, "must be positive and less than 1000"))
	}
	skip := at.Child("insecureSkipTLSVerify")
	ref := s.Spec.Service
	if ref == nil {
		if n := len(s.Spec.CABundle); n != 0 {
			errs = append(errs, field.Invalid(at.Child("caBundle"), fmt.Sprintf("%d bytes", n), "local APIServices may not have a caBundle"))
		}
		if s.Spec.InsecureSkipTLSVerify {
			errs = append(errs, field.Invalid(skip, true, "local APIServices may not have insecureSkipTLSVerify"))
		}
		return errs
	}
	service := at.Child("service")
	if ref.Namespace == "" {
		errs = append(errs, field.Required(service.Child("namespace"), ""))
	}
	if ref.Name == "" {
		errs = append(errs, field.Required(service.Child("name"), ""))
	}
	port := ptr.Deref(ref.Port, 0)
	if bad := validation.IsValidPortNum(int(port)); bad != nil {
		errs = append(errs, field.Invalid(service.Child("port"), port, "port is not valid: "+strings.Join(bad, ", ")))
	}
	if s.Spec.InsecureSkipTLSVerify && len(s.Spec.CABundle) > 0 {
		errs = append(errs, field.Invalid(skip, true, "may not be true if caBundle is present"))
	}
	return errs
}

func validateStatus(s *APIService) field.ErrorList {
	var errs field.ErrorList
	for i, c := range s.Status.Conditions {
		errs = append(errs, check.OneOf(c.Status, []metav1.ConditionStatus{metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown},
			field.NewPath("status", "conditions").Index(i).Child("status"))...)
	}
	return errs
}
