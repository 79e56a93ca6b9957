package flowcontrol

import (
	"fmt"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	flowcontrolv1beta3 "k8s.io/api/flowcontrol/v1beta3"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	"k8s.io/apiserver/pkg/util/shufflesharding"
	"k8s.io/utils/ptr"

	"proa/resource"
	"proa/resource/check"
	"proa/resource/columns"
)

type level = flowcontrolv1.PriorityLevelConfiguration

// PriorityLevelConfiguration is the row of priority levels.
func PriorityLevelConfiguration() *resource.Definition {
	queuing := flowcontrolv1.QueuingConfiguration{}.SwaggerDoc()
	return resource.Row[*level]{
		Storage:        flowcontrolv1.SchemeGroupVersion,
		Kind:           "PriorityLevelConfiguration",
		Plural:         "prioritylevelconfigurations",
		ClusterScoped:  true,
		New:            func() *level { return new(level) },
		NewList:        func() runtime.Object { return new(flowcontrolv1.PriorityLevelConfigurationList) },
		ValidateName:   apivalidation.NameIsDNSSubdomain,
		Default:        defaultLevel,
		PrepareCreate:  func(_ *resource.Request, l *level) { l.Status = flowcontrolv1.PriorityLevelConfigurationStatus{} },
		PrepareUpdate:  func(_ *resource.Request, l, old *level) { l.Status = *old.Status.DeepCopy() },
		Validate:       validateLevel,
		ValidateUpdate: func(l, _ *level) field.ErrorList { return validateLevel(l) },
		Updates: map[string]resource.Update[*level]{"status": {
			Restored: []string{"metadata"},
			PrepareUpdate: func(_ *resource.Request, l, old *level) {
				l.Spec = *old.Spec.DeepCopy()
				onlyManagedFields(&l.ObjectMeta, &old.ObjectMeta)
			},
			ValidateUpdate: func(l, _ *level) field.ErrorList { return validateLevelStatus(l) },
		}},
		Spec: func(l *level) any { return &l.Spec },
		Columns: []metav1.TableColumnDefinition{
			columns.Name(),
			columns.String("Type", flowcontrolv1.PriorityLevelConfigurationSpec{}.SwaggerDoc()["type"]),
			columns.String("NominalConcurrencyShares", flowcontrolv1.LimitedPriorityLevelConfiguration{}.SwaggerDoc()["nominalConcurrencyShares"]),
			columns.String("Queues", queuing["queues"]),
			columns.String("HandSize", queuing["handSize"]),
			columns.String("QueueLengthLimit", queuing["queueLengthLimit"]),
			columns.Age(),
		},
		Cells: func(l *level, now time.Time) []any {
			cells := []any{l.Name, string(l.Spec.Type), columns.None, columns.None, columns.None, columns.None, columns.Since(l.CreationTimestamp, now)}
			if lim := l.Spec.Limited; lim != nil {
				cells[2] = int64(ptr.Deref(lim.NominalConcurrencyShares, 0))
				if q := lim.LimitResponse.Queuing; q != nil {
					cells[3], cells[4], cells[5] = int64(q.Queues), int64(q.HandSize), int64(q.QueueLengthLimit)
				}
			}
			return cells
		},
	}.Define()
}

// What a level has that does not say.
const (
	defaultShares      = 30
	defaultQueues      = 64
	defaultHandSize    = 8
	defaultQueueLength = 50
)

func defaultLevel(l *level) {
	set := func(p **int32, v int32) {
		if *p == nil {
			*p = &v
		}
	}
	if e := l.Spec.Exempt; e != nil {
		set(&e.NominalConcurrencyShares, 0)
		set(&e.LendablePercent, 0)
	}
	lim := l.Spec.Limited
	if lim == nil {
		return
	}
	set(&lim.NominalConcurrencyShares, defaultShares)
	set(&lim.LendablePercent, 0)
	if q := lim.LimitResponse.Queuing; q != nil {
		for _, f := range []struct {
			value *int32
			or    int32
		}{{&q.HandSize, defaultHandSize}, {&q.Queues, defaultQueues}, {&q.QueueLengthLimit, defaultQueueLength}} {
			if *f.value == 0 {
				*f.value = f.or
			}
		}
	}
}

func validateLevel(l *level) field.ErrorList {
	var errs field.ErrorList
	if _, ok := l.Annotations[flowcontrolv1beta3.PriorityLevelPreserveZeroConcurrencySharesKey]; ok {
		errs = append(errs, field.Forbidden(field.NewPath("metadata", "annotations"),
			fmt.Sprintf("annotation '%s' is forbidden", flowcontrolv1beta3.PriorityLevelPreserveZeroConcurrencySharesKey)))
	}
	at := field.NewPath("spec")
	errs = append(errs, validateLevelSpec(l.Name, &l.Spec, at)...)
	for _, m := range bootstrap.MandatoryPriorityLevelConfigurations {
		if m.Name != l.Name {
			continue
		}
		has, what := l.Spec.DeepCopy(), ""
		if m.Name == flowcontrolv1.PriorityLevelConfigurationNameExempt {
			has.Exempt, what = m.Spec.Exempt, " except the 'spec.exempt' field"
		}
		if !check.Equal(has, &m.Spec) {
			errs = append(errs, field.Invalid(at, check.GoForm{Value: l.Spec}, fmt.Sprintf("spec of '%s'%s must equal the fixed value", l.Name, what)))
		}
	}
	return append(errs, validateLevelStatus(l)...)
}

func validateLevelStatus(l *level) field.ErrorList {
	return conditions(l.Status.Conditions, func(c flowcontrolv1.PriorityLevelConfigurationCondition) flowcontrolv1.PriorityLevelConfigurationConditionType {
		return c.Type
	})
}

func validateLevelSpec(name string, s *flowcontrolv1.PriorityLevelConfigurationSpec, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if (name == flowcontrolv1.PriorityLevelConfigurationNameExempt) != (s.Type == flowcontrolv1.PriorityLevelEnablementExempt) {
		errs = append(errs, field.Invalid(at.Child("type"), s.Type, "must be 'Exempt' if and only if `name` is 'exempt'"))
	}
	switch s.Type {
	case flowcontrolv1.PriorityLevelEnablementExempt:
		if s.Limited != nil {
			errs = append(errs, field.Forbidden(at.Child("limited"), "must be nil if the type is not Limited"))
		}
		if e := s.Exempt; e != nil {
			errs = append(errs, validateShares(e.NominalConcurrencyShares, at.Child("exempt"))...)
			errs = append(errs, validateLendable(e.LendablePercent, at.Child("exempt"))...)
		}
	case flowcontrolv1.PriorityLevelEnablementLimited:
		if s.Exempt != nil {
			errs = append(errs, field.Forbidden(at.Child("exempt"), "must be nil if the type is Limited"))
		}
		if s.Limited == nil {
			return append(errs, field.Required(at.Child("limited"), "must not be empty when type is Limited"))
		}
		errs = append(errs, validateLimited(s.Limited, at.Child("limited"))...)
	case "":
		errs = append(errs, field.Required(at.Child("type"), ""))
	default:
		errs = append(errs, field.NotSupported(at.Child("type"), s.Type, []flowcontrolv1.PriorityLevelEnablement{
			flowcontrolv1.PriorityLevelEnablementExempt, flowcontrolv1.PriorityLevelEnablementLimited,
		}))
	}
	return errs
}

func validateShares(n *int32, at *field.Path) field.ErrorList {
	if n != nil && *n < 0 {
		return field.ErrorList{field.Invalid(at.Child("nominalConcurrencyShares"), *n, "must be a non-negative integer")}
	}
	return nil
}

func validateLendable(n *int32, at *field.Path) field.ErrorList {
	if n != nil && (*n < 0 || *n > 100) {
		return field.ErrorList{field.Invalid(at.Child("lendablePercent"), *n, "must be between 0 and 100, inclusive")}
	}
	return nil
}

func validateLimited(l *flowcontrolv1.LimitedPriorityLevelConfiguration, at *field.Path) field.ErrorList {
	errs := validateShares(l.NominalConcurrencyShares, at)
	errs = append(errs, validateResponse(&l.LimitResponse, at.Child("limitResponse"))...)
	errs = append(errs, validateLendable(l.LendablePercent, at)...)
	if n := l.BorrowingLimitPercent; n != nil && *n < 0 {
		errs = append(errs, field.Invalid(at.Child("borrowingLimitPercent"), *n, "if specified, must be a non-negative integer"))
	}
	return errs
}

func validateResponse(r *flowcontrolv1.LimitResponse, at *field.Path) field.ErrorList {
	switch q := r.Queuing; r.Type {
	case flowcontrolv1.LimitResponseTypeReject:
		if q != nil {
			return field.ErrorList{field.Forbidden(at.Child("queuing"), "must be nil if limited.limitResponse.type is not Limited")}
		}
	case flowcontrolv1.LimitResponseTypeQueue:
		if q == nil {
			return field.ErrorList{field.Required(at.Child("queuing"), "must not be empty if limited.limitResponse.type is Limited")}
		}
		return validateQueuing(q, at.Child("queuing"))
	case "":
		return field.ErrorList{field.Required(at.Child("type"), "")}
	default:
		return field.ErrorList{field.NotSupported(at.Child("type"), r.Type, []flowcontrolv1.LimitResponseType{
			flowcontrolv1.LimitResponseTypeQueue, flowcontrolv1.LimitResponseTypeReject,
		})}
	}
	return nil
}

// maxQueues is how many queues a level may have.
const maxQueues = 10_000_000

// validateQueuing: there must be no more hands than a hash can tell apart.
func validateQueuing(q *flowcontrolv1.QueuingConfiguration, at *field.Path) field.ErrorList {
	var errs field.ErrorList
	if q.QueueLengthLimit <= 0 {
		errs = append(errs, field.Invalid(at.Child("queueLengthLimit"), q.QueueLengthLimit, "must be positive"))
	}
	if q.Queues <= 0 {
		errs = append(errs, field.Invalid(at.Child("queues"), q.Queues, "must be positive"))
	} else if q.Queues > maxQueues {
		errs = append(errs, field.Invalid(at.Child("queues"), q.Queues, fmt.Sprintf("must not be greater than %d", maxQueues)))
	}
	hand := at.Child("handSize")
	switch {
	case q.HandSize <= 0:
		errs = append(errs, field.Invalid(hand, q.HandSize, "must be positive"))
	case q.HandSize > q.Queues:
		errs = append(errs, field.Invalid(hand, q.HandSize, fmt.Sprintf("should not be greater than queues (%d)", q.Queues)))
	case shufflesharding.RequiredEntropyBits(int(q.Queues), int(q.HandSize)) > shufflesharding.MaxHashBits:
		errs = append(errs, field.Invalid(hand, q.HandSize, fmt.Sprintf("required entropy bits of deckSize %d and handSize %d should not be greater than %d",
			q.Queues, q.HandSize, shufflesharding.MaxHashBits)))
	}
	return errs
}
