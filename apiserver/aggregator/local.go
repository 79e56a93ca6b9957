package aggregator

import (
	"context"
	"log/slog"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"proa/resource"
	"proa/resource/apiregistration"
)

// localRetry is how long a failed write rests.
const localRetry = 10 * time.Second

// Values of the label of automanaged API services.
const (
	onStart = "onstart" // made with the server; one that has gone may be another server's
	always  = "true"    // made and deleted with what is served
)

// locals keeps the API services of what this server serves itself.
type locals struct {
	client dynamic.ResourceInterface
	log    *slog.Logger
	retry  <-chan time.Time
}

// keep makes what is missing, repairs what is automanaged and was changed, and
// deletes what is automanaged and no longer served.
func (l *locals) keep(ctx context.Context, view *resource.View, all map[string]*apiregistration.APIService) {
	l.retry = nil
	create, update, remove := decideLocals(view, all)
	var failed error
	try := func(err error) {
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			failed = err
		}
	}
	for _, s := range create {
		o, err := tree(s)
		if err == nil {
			_, err = l.client.Create(ctx, o, metav1.CreateOptions{})
		}
		try(err)
	}
	for _, s := range update {
		o, err := tree(s)
		if err == nil {
			_, err = l.client.Update(ctx, o, metav1.UpdateOptions{})
		}
		try(err)
	}
	for _, s := range remove {
		try(l.client.Delete(ctx, s.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &s.UID}}))
	}
	if failed != nil && ctx.Err() == nil {
		l.log.Warn("API services of this server were not written; trying again", "err", failed)
		l.retry = time.After(localRetry)
	}
}

// decideLocals says what is to be written, given what is served and what there is.
func decideLocals(view *resource.View, all map[string]*apiregistration.APIService) (create, update, remove []*apiregistration.APIService) {
	wanted := map[string]*apiregistration.APIService{}
	for _, d := range view.Definitions {
		for i := range d.Served {
			gv := d.Served[i].GroupVersion
			if gv.Group == apiregistration.SchemeGroupVersion.Group {
				continue // as upstream: it would speak of itself
			}
			if s := localService(gv); wanted[s.Name] == nil {
				wanted[s.Name] = s
			}
		}
	}
	for name, want := range wanted {
		is := all[name]
		switch {
		case is == nil:
			create = append(create, want)
		case is.Labels[apiregistration.AutomanagedLabel] == "" || is.Spec.Service == nil && is.Spec.GroupPriorityMinimum == want.Spec.GroupPriorityMinimum && is.Spec.VersionPriority == want.Spec.VersionPriority:
		default:
			is = is.DeepCopy()
			is.Spec = want.Spec
			update = append(update, is)
		}
	}
	for name, is := range all {
		if wanted[name] == nil && is.Labels[apiregistration.AutomanagedLabel] == always {
			remove = append(remove, is)
		}
	}
	return create, update, remove
}

func localService(gv schema.GroupVersion) *apiregistration.APIService {
	label := always
	if apiregistration.IsBuiltin(gv.Group) {
		label = onStart
	}
	g, v := apiregistration.Priorities(gv)
	return &apiregistration.APIService{
		ObjectMeta: metav1.ObjectMeta{Name: gv.Version + "." + gv.Group, Labels: map[string]string{apiregistration.AutomanagedLabel: label}},
		Spec:       apiregistration.APIServiceSpec{Group: gv.Group, Version: gv.Version, GroupPriorityMinimum: g, VersionPriority: v},
	}
}

// tree is an API service as the client takes it.
func tree(s *apiregistration.APIService) (*unstructured.Unstructured, error) {
	m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(s)
	if err != nil {
		return nil, err
	}
	o := &unstructured.Unstructured{Object: m}
	o.SetGroupVersionKind(apiregistration.SchemeGroupVersion.WithKind("APIService"))
	return o, nil
}
