package core

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/api/validation/path"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

// eventTTL is how long an event is kept, as upstream's --event-ttl has it.
const eventTTL = time.Hour

// Event is the row of events. They are stored as core/v1 and served also as
// events.k8s.io/v1, which asks more of what is written through it.
func Event() *resource.Definition {
	return resource.Row[*corev1.Event]{
		Storage:      corev1.SchemeGroupVersion,
		Kind:         "Event",
		AnyFinalizer: true,
		Plural:       "events",
		ShortNames:   []string{"ev"},
		New:          func() *corev1.Event { return new(corev1.Event) },
		NewList:      func() runtime.Object { return new(corev1.EventList) },
		// The old version takes any name: events are called after what they are of.
		ValidateName:   func(name string, _ bool) []string { return path.IsValidPathSegmentName(name) },
		CreateOnUpdate: true,
		TTL:            func(*corev1.Event) time.Duration { return eventTTL },
		Validate:       validateEvent,
		ValidateUpdate: func(ev, _ *corev1.Event) field.ErrorList { return validateEvent(ev) },
		Fields:         eventFields,
		Also: []resource.Version[*corev1.Event]{{
			GroupVersion: eventsv1.SchemeGroupVersion,
			New:          func() resource.Object { return new(eventsv1.Event) },
			NewList:      func() runtime.Object { return new(eventsv1.EventList) },
			To:           func(ev *corev1.Event) (resource.Object, error) { return eventToV1(ev), nil },
			From:         eventFromObject,
			Validate:     validateEventV1,
			Fields:       eventFieldsV1,
		}},
		Columns: []metav1.TableColumnDefinition{
			columns.String("Last Seen", corev1.Event{}.SwaggerDoc()["lastTimestamp"]),
			columns.String("Type", corev1.Event{}.SwaggerDoc()["type"]),
			columns.String("Reason", corev1.Event{}.SwaggerDoc()["reason"]),
			columns.String("Object", corev1.Event{}.SwaggerDoc()["involvedObject"]),
			columns.Wide(columns.String("Subobject", corev1.ObjectReference{}.SwaggerDoc()["fieldPath"])),
			columns.Wide(columns.String("Source", corev1.Event{}.SwaggerDoc()["source"])),
			columns.String("Message", corev1.Event{}.SwaggerDoc()["message"]),
			columns.Wide(columns.String("First Seen", corev1.Event{}.SwaggerDoc()["firstTimestamp"])),
			columns.Wide(columns.String("Count", corev1.Event{}.SwaggerDoc()["count"])),
			columns.Wide(columns.Name()),
		},
		Cells: eventCells,
	}.Define()
}

// eventToV1 shares the object's memory, except for the series.
func eventToV1(ev *corev1.Event) *eventsv1.Event {
	out := &eventsv1.Event{
		ObjectMeta:               ev.ObjectMeta,
		EventTime:                ev.EventTime,
		ReportingController:      ev.ReportingController,
		ReportingInstance:        ev.ReportingInstance,
		Action:                   ev.Action,
		Reason:                   ev.Reason,
		Regarding:                ev.InvolvedObject,
		Related:                  ev.Related,
		Note:                     ev.Message,
		Type:                     ev.Type,
		DeprecatedSource:         ev.Source,
		DeprecatedFirstTimestamp: ev.FirstTimestamp,
		DeprecatedLastTimestamp:  ev.LastTimestamp,
		DeprecatedCount:          ev.Count,
	}
	if s := ev.Series; s != nil {
		out.Series = &eventsv1.EventSeries{Count: s.Count, LastObservedTime: s.LastObservedTime}
	}
	return out
}

func eventFromV1(ev *eventsv1.Event) *corev1.Event {
	out := &corev1.Event{
		ObjectMeta:          ev.ObjectMeta,
		EventTime:           ev.EventTime,
		ReportingController: ev.ReportingController,
		ReportingInstance:   ev.ReportingInstance,
		Action:              ev.Action,
		Reason:              ev.Reason,
		InvolvedObject:      ev.Regarding,
		Related:             ev.Related,
		Message:             ev.Note,
		Type:                ev.Type,
		Source:              ev.DeprecatedSource,
		FirstTimestamp:      ev.DeprecatedFirstTimestamp,
		LastTimestamp:       ev.DeprecatedLastTimestamp,
		Count:               ev.DeprecatedCount,
	}
	if s := ev.Series; s != nil {
		out.Series = &corev1.EventSeries{Count: s.Count, LastObservedTime: s.LastObservedTime}
	}
	return out
}

// eventFromObject accepts an event of either version.
func eventFromObject(obj resource.Object) (*corev1.Event, error) {
	switch ev := obj.(type) {
	case *corev1.Event:
		return ev, nil
	case *eventsv1.Event:
		return eventFromV1(ev), nil
	}
	return nil, fmt.Errorf("%T is not an event", obj)
}

// Lengths that a client of the new API keeps to, in bytes.
const (
	maxReportingInstance = 128
	maxEventAction       = 128
	maxEventReason       = 128
	maxEventNote         = 1024
)

// validateEvent makes the checks of both versions. An event that has no
// eventTime was written by a client of the old API, and little is asked of it.
func validateEvent(ev *corev1.Event) field.ErrorList {
	var errs field.ErrorList
	foreign := func() {
		errs = append(errs, field.Invalid(field.NewPath("involvedObject", "namespace"), ev.InvolvedObject.Namespace, "does not match event.namespace"))
	}
	of := ev.InvolvedObject.Namespace
	if ev.EventTime.IsZero() {
		// Events of cluster scoped objects live in the default namespace.
		if (of == "" && ev.Namespace != metav1.NamespaceNone && ev.Namespace != metav1.NamespaceDefault) || (of != "" && of != ev.Namespace) {
			foreign()
		}
	} else {
		if of == "" && ev.Namespace != metav1.NamespaceDefault && ev.Namespace != metav1.NamespaceSystem {
			foreign()
		}
		component := field.NewPath("reportingComponent")
		if ev.ReportingController == "" {
			errs = append(errs, field.Required(component, ""))
		}
		errs = append(errs, check.QualifiedName(ev.ReportingController, component)...)
		bounded := func(name, value string, limit int, required bool) {
			if required && value == "" {
				errs = append(errs, field.Required(field.NewPath(name), ""))
			}
			if len(value) > limit {
				errs = append(errs, field.Invalid(field.NewPath(name), "", fmt.Sprintf("can have at most %v characters", limit)))
			}
		}
		bounded("reportingInstance", ev.ReportingInstance, maxReportingInstance, true)
		bounded("action", ev.Action, maxEventAction, true)
		bounded("reason", ev.Reason, maxEventReason, true)
		bounded("message", ev.Message, maxEventNote, false)
	}
	return append(errs, check.Messages(validation.IsDNS1123Subdomain(ev.Namespace), ev.Namespace, field.NewPath("namespace"))...)
}

// validateEventV1 adds what events.k8s.io/v1 asks. It takes events of either
// version.
func validateEventV1(obj, old resource.Object) field.ErrorList {
	ev, err := eventFromObject(obj)
	if err != nil {
		return field.ErrorList{field.InternalError(nil, err)}
	}
	if old != nil {
		was, err := eventFromObject(old)
		if err != nil {
			return field.ErrorList{field.InternalError(nil, err)}
		}
		return validateEventV1Update(ev, was)
	}
	var errs field.ErrorList
	if ev.Name != "" { // Else it is refused for having none.
		errs = check.Messages(apivalidation.NameIsDNSSubdomain(ev.Name, false), ev.Name, metaPath.Child("name"))
	}
	errs = append(errs, validateEventSeries(ev)...)
	if ev.EventTime.IsZero() {
		errs = append(errs, field.Required(field.NewPath("eventTime"), ""))
	}
	if ev.Type != corev1.EventTypeNormal && ev.Type != corev1.EventTypeWarning {
		errs = append(errs, field.Invalid(field.NewPath("type"), "", fmt.Sprintf("has invalid value: %v", ev.Type)))
	}
	unset := func(name string, set bool) {
		if set {
			errs = append(errs, field.Invalid(field.NewPath(name), "", "needs to be unset"))
		}
	}
	unset("firstTimestamp", !ev.FirstTimestamp.IsZero())
	unset("lastTimestamp", !ev.LastTimestamp.IsZero())
	unset("count", ev.Count != 0)
	unset("source", ev.Source != corev1.EventSource{})
	return errs
}

func validateEventV1Update(ev, old *corev1.Event) field.ErrorList {
	var errs field.ErrorList
	if !check.Equal(ev.Series, old.Series) {
		errs = validateEventSeries(ev)
	}
	same := func(name string, value, was any) {
		errs = append(errs, check.Unchanged(value, was, field.NewPath(name))...)
	}
	same("involvedObject", ev.InvolvedObject, old.InvolvedObject)
	same("reason", ev.Reason, old.Reason)
	same("message", ev.Message, old.Message)
	same("source", ev.Source, old.Source)
	same("firstTimestamp", ev.FirstTimestamp, old.FirstTimestamp)
	same("lastTimestamp", ev.LastTimestamp, old.LastTimestamp)
	same("count", ev.Count, old.Count)
	same("type", ev.Type, old.Type)
	// Clients may have kept less than the server did: what is finer than a
	// microsecond does not count.
	if !ev.EventTime.Truncate(time.Microsecond).Equal(old.EventTime.Truncate(time.Microsecond)) {
		same("eventTime", ev.EventTime, old.EventTime)
	}
	same("action", ev.Action, old.Action)
	same("related", ev.Related, old.Related)
	same("reportingController", ev.ReportingController, old.ReportingController)
	same("reportingInstance", ev.ReportingInstance, old.ReportingInstance)
	return errs
}

func validateEventSeries(ev *corev1.Event) field.ErrorList {
	var errs field.ErrorList
	if s := ev.Series; s != nil {
		if s.Count < 2 {
			errs = append(errs, field.Invalid(field.NewPath("series.count"), "", "should be at least 2"))
		}
		if s.LastObservedTime.IsZero() {
			errs = append(errs, field.Required(field.NewPath("series.lastObservedTime"), ""))
		}
	}
	return errs
}

func eventFields(ev *corev1.Event) map[string]string {
	source := ev.Source.Component
	if source == "" {
		source = ev.ReportingController
	}
	return map[string]string{
		"involvedObject.kind":            ev.InvolvedObject.Kind,
		"involvedObject.namespace":       ev.InvolvedObject.Namespace,
		"involvedObject.name":            ev.InvolvedObject.Name,
		"involvedObject.uid":             string(ev.InvolvedObject.UID),
		"involvedObject.apiVersion":      ev.InvolvedObject.APIVersion,
		"involvedObject.resourceVersion": ev.InvolvedObject.ResourceVersion,
		"involvedObject.fieldPath":       ev.InvolvedObject.FieldPath,
		"reason":                         ev.Reason,
		"reportingComponent":             ev.ReportingController,
		"source":                         source,
		"type":                           ev.Type,
	}
}

func eventFieldsV1(ev *corev1.Event) map[string]string {
	return map[string]string{
		"regarding.kind":            ev.InvolvedObject.Kind,
		"regarding.namespace":       ev.InvolvedObject.Namespace,
		"regarding.name":            ev.InvolvedObject.Name,
		"regarding.uid":             string(ev.InvolvedObject.UID),
		"regarding.apiVersion":      ev.InvolvedObject.APIVersion,
		"regarding.resourceVersion": ev.InvolvedObject.ResourceVersion,
		"regarding.fieldPath":       ev.InvolvedObject.FieldPath,
		"reason":                    ev.Reason,
		"reportingController":       ev.ReportingController,
		"type":                      ev.Type,
	}
}

func eventCells(ev *corev1.Event, now time.Time) []any {
	first := columns.Since(ev.FirstTimestamp, now)
	if ev.FirstTimestamp.IsZero() {
		first = columns.SinceMicro(ev.EventTime, now)
	}
	last := columns.Since(ev.LastTimestamp, now)
	if ev.LastTimestamp.IsZero() {
		last = first
	}
	count := ev.Count
	if ev.Series != nil {
		last = columns.SinceMicro(ev.Series.LastObservedTime, now)
		count = ev.Series.Count
	} else if count == 0 {
		// An event of the new API that happened once has no count.
		count = 1
	}
	target := strings.ToLower(ev.InvolvedObject.Kind)
	if ev.InvolvedObject.Name != "" {
		target += "/" + ev.InvolvedObject.Name
	}
	source, host := ev.Source.Component, ev.Source.Host
	if source == "" {
		source = ev.ReportingController
	}
	if host == "" {
		host = ev.ReportingInstance
	}
	if host != "" {
		source += ", " + host
	}
	return []any{
		last, ev.Type, ev.Reason, target, ev.InvolvedObject.FieldPath, source,
		strings.TrimSpace(ev.Message), first, int64(count), ev.Name,
	}
}
