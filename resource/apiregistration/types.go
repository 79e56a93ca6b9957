package apiregistration

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// SchemeGroupVersion of the types.
var SchemeGroupVersion = schema.GroupVersion{Group: "apiregistration.k8s.io", Version: "v1"}

// Available is the type of the condition that says whether the server behind an
// API service answers.
const Available = "Available"

// AutomanagedLabel marks the API services that the server makes of what it serves
// itself: "onstart" for what is built in, "true" for what comes and goes.
const AutomanagedLabel = "kube-aggregator.kubernetes.io/automanaged"

// APIService says who serves a version of a group. Its name is VERSION.GROUP.
type APIService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   APIServiceSpec   `json:"spec,omitempty"`
	Status APIServiceStatus `json:"status,omitempty"`
}

// APIServiceSpec is what a user says of an API service.
type APIServiceSpec struct {
	// Service is where the server listens; nil for this server itself.
	Service *ServiceReference `json:"service,omitempty"`
	Group   string            `json:"group,omitempty"`
	Version string            `json:"version,omitempty"`
	// InsecureSkipTLSVerify: the server's certificate is not verified.
	InsecureSkipTLSVerify bool `json:"insecureSkipTLSVerify,omitempty"`
	// CABundle verifies it, in PEM; the roots of this machine where there is none.
	CABundle             []byte `json:"caBundle,omitempty"`
	GroupPriorityMinimum int32  `json:"groupPriorityMinimum"`
	VersionPriority      int32  `json:"versionPriority"`
}

// ServiceReference names a port of a service.
type ServiceReference struct {
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name,omitempty"`
	Port      *int32 `json:"port,omitempty"`
}

// APIServiceStatus is what the server says of an API service.
type APIServiceStatus struct {
	Conditions []APIServiceCondition `json:"conditions,omitempty" patchStrategy:"merge" patchMergeKey:"type"`
}

// APIServiceCondition is one fact about an API service.
type APIServiceCondition struct {
	Type               string                 `json:"type"`
	Status             metav1.ConditionStatus `json:"status"`
	LastTransitionTime metav1.Time            `json:"lastTransitionTime,omitempty"`
	Reason             string                 `json:"reason,omitempty"`
	Message            string                 `json:"message,omitempty"`
}

// APIServiceList is a list of API services.
type APIServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`

	Items []APIService `json:"items"`
}

// DeepCopy makes a copy that shares nothing.
func (s *APIService) DeepCopy() *APIService {
	if s == nil {
		return nil
	}
	out := *s
	out.ObjectMeta = *s.ObjectMeta.DeepCopy()
	out.Spec = *s.Spec.DeepCopy()
	out.Status = *s.Status.DeepCopy()
	return &out
}

// DeepCopy makes a copy that shares nothing.
func (s *APIServiceSpec) DeepCopy() *APIServiceSpec {
	out := *s
	if s.Service != nil {
		ref := *s.Service
		if ref.Port != nil {
			port := *ref.Port
			ref.Port = &port
		}
		out.Service = &ref
	}
	out.CABundle = slices.Clone(s.CABundle)
	return &out
}

// DeepCopy makes a copy that shares nothing.
func (s *APIServiceStatus) DeepCopy() *APIServiceStatus {
	return &APIServiceStatus{Conditions: slices.Clone(s.Conditions)}
}

// DeepCopyObject implements runtime.Object.
func (s *APIService) DeepCopyObject() runtime.Object { return s.DeepCopy() }

// DeepCopyObject implements runtime.Object.
func (l *APIServiceList) DeepCopyObject() runtime.Object {
	out := *l
	out.ListMeta = *l.ListMeta.DeepCopy()
	out.Items = nil
	for i := range l.Items {
		out.Items = append(out.Items, *l.Items[i].DeepCopy())
	}
	return &out
}

// SwaggerDoc describes the type to clients.
func (APIService) SwaggerDoc() map[string]string {
	return map[string]string{
		"":         "APIService represents a server for a particular GroupVersion. Name must be \"version.group\".",
		"metadata": metav1.Status{}.SwaggerDoc()["metadata"],
		"spec":     "Spec contains information for locating and communicating with a server",
		"status":   "Status contains derived information about an API server",
	}
}

// SwaggerDoc describes the type to clients.
func (APIServiceSpec) SwaggerDoc() map[string]string {
	return map[string]string{
		"":                      "What is asked of an API service: who serves a version of a group.",
		"service":               "The service behind which the server listens. Without one, the version is served by this server itself.",
		"group":                 "The name of the API group.",
		"version":               "The version of the group, such as \"v1\".",
		"insecureSkipTLSVerify": "Turns the verification of the server's certificate off. Give its authority in caBundle instead.",
		"caBundle":              "The authorities, in PEM, that the server's certificate is verified by; those of the API server's machine if empty.",
		"groupPriorityMinimum":  "How the group is preferred to other groups that have a resource of the same name: the highest first.",
		"versionPriority":       "How the version is preferred to others of its group: the highest first.",
	}
}

// SwaggerDoc describes the type to clients.
func (ServiceReference) SwaggerDoc() map[string]string {
	return map[string]string{
		"":          "A port of a service.",
		"namespace": "The namespace of the service.",
		"name":      "The name of the service.",
		"port":      "The port of the service, from 1 to 65535; 443 if not given.",
	}
}

// SwaggerDoc describes the type to clients.
func (APIServiceStatus) SwaggerDoc() map[string]string {
	return map[string]string{"": "What is known of an API service.", "conditions": "What is known of the server now."}
}

// SwaggerDoc describes the type to clients.
func (APIServiceCondition) SwaggerDoc() map[string]string {
	return map[string]string{
		"":                   "One thing that is known of an API service.",
		"type":               "The type of the condition.",
		"status":             "True, False or Unknown.",
		"lastTransitionTime": "When the status changed last.",
		"reason":             "The reason of the last change, in one word.",
		"message":            "The reason of the last change, for people.",
	}
}

// SwaggerDoc describes the type to clients.
func (APIServiceList) SwaggerDoc() map[string]string {
	return map[string]string{"": "A list of API services.", "metadata": "Standard list metadata.", "items": "The API services."}
}

// OpenAPIModelName is the name by which clients know the type.
func (APIService) OpenAPIModelName() string { return model("APIService") }

// OpenAPIModelName is the name by which clients know the type.
func (APIServiceSpec) OpenAPIModelName() string { return model("APIServiceSpec") }

// OpenAPIModelName is the name by which clients know the type.
func (ServiceReference) OpenAPIModelName() string { return model("ServiceReference") }

// OpenAPIModelName is the name by which clients know the type.
func (APIServiceStatus) OpenAPIModelName() string { return model("APIServiceStatus") }

// OpenAPIModelName is the name by which clients know the type.
func (APIServiceCondition) OpenAPIModelName() string { return model("APIServiceCondition") }

// OpenAPIModelName is the name by which clients know the type.
func (APIServiceList) OpenAPIModelName() string { return model("APIServiceList") }

func model(name string) string { return "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1." + name }

// Condition returns the condition of a type, or nil.
func (s *APIService) Condition(t string) *APIServiceCondition {
	for i := range s.Status.Conditions {
		if s.Status.Conditions[i].Type == t {
			return &s.Status.Conditions[i]
		}
	}
	return nil
}

// SetCondition adds or replaces a condition. Its time moves only with its status.
func (s *APIService) SetCondition(c APIServiceCondition) {
	was := s.Condition(c.Type)
	if was == nil {
		s.Status.Conditions = append(slices.Clip(s.Status.Conditions), c)
		return
	}
	if was.Status == c.Status {
		c.LastTransitionTime = was.LastTransitionTime
	}
	*was = c
}

// GroupVersion that the API service is about.
func (s *APIService) GroupVersion() schema.GroupVersion {
	return schema.GroupVersion{Group: s.Spec.Group, Version: s.Spec.Version}
}
