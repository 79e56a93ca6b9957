package fairness

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	flowcontrolv1 "k8s.io/api/flowcontrol/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap"
	apply "k8s.io/client-go/applyconfigurations/flowcontrol/v1"
	"k8s.io/client-go/kubernetes"

	"proa/auth/source"
	"proa/cache"
	"proa/resource"
	"proa/resource/check"
)

// Managers of fields: of the objects that the server makes, and of what it says
// about the objects of others.
const (
	producer = "api-priority-and-fairness-config-producer-v1"
	consumer = "api-priority-and-fairness-config-consumer-v1"
)

// objectsRetry is how long a failed write rests.
const objectsRetry = 10 * time.Second

// Objects follows the stored objects: the sharing goes by them, those that every
// cluster has are kept, and each schema is told whether its level is there.
type Objects struct {
	Fairness *Fairness
	Client   kubernetes.Interface
	Hub      *cache.Hub
	// Schemas and Levels are the definitions in the table in use.
	Schemas, Levels *resource.Definition
	Log             *slog.Logger
}

// Ensure makes what every cluster has and this one lacks. What is mandatory is as
// it must be afterwards; what is suggested is left alone where somebody has
// changed it.
func (o *Objects) Ensure(ctx context.Context) error {
	levels := o.Client.FlowcontrolV1().PriorityLevelConfigurations()
	for i, l := range append(bootstrap.MandatoryPriorityLevelConfigurations[:2:2], bootstrap.SuggestedPriorityLevelConfigurations...) {
		mandatory := i < len(bootstrap.MandatoryPriorityLevelConfigurations)
		is, err := levels.Get(ctx, l.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			_, err = levels.Create(ctx, l.DeepCopy(), metav1.CreateOptions{FieldManager: producer})
		case err == nil && revise(is, mandatory, sameLevel(l, is, mandatory)):
			is = is.DeepCopy()
			if l.Name != flowcontrolv1.PriorityLevelConfigurationNameExempt {
				is.Spec = *l.Spec.DeepCopy()
			}
			mark(is, mandatory)
			_, err = levels.Update(ctx, is, metav1.UpdateOptions{FieldManager: producer})
		}
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("make priority level %s: %w", l.Name, err)
		}
	}
	schemas := o.Client.FlowcontrolV1().FlowSchemas()
	for i, s := range append(bootstrap.MandatoryFlowSchemas[:2:2], bootstrap.SuggestedFlowSchemas...) {
		mandatory := i < len(bootstrap.MandatoryFlowSchemas)
		is, err := schemas.Get(ctx, s.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			_, err = schemas.Create(ctx, s.DeepCopy(), metav1.CreateOptions{FieldManager: producer})
		case err == nil && revise(is, mandatory, check.Equal(&s.Spec, &is.Spec)):
			is = is.DeepCopy()
			is.Spec = *s.Spec.DeepCopy()
			mark(is, mandatory)
			_, err = schemas.Update(ctx, is, metav1.UpdateOptions{FieldManager: producer})
		}
		if err != nil && !apierrors.IsAlreadyExists(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("make flow schema %s: %w", s.Name, err)
		}
	}
	return nil
}

// sameLevel: what exempt requests may lend is for administrators to say.
func sameLevel(want, is *flowcontrolv1.PriorityLevelConfiguration, mandatory bool) bool {
	if mandatory && want.Name == flowcontrolv1.PriorityLevelConfigurationNameExempt {
		is = is.DeepCopy()
		is.Spec.Exempt = want.Spec.Exempt
	}
	return check.Equal(&want.Spec, &is.Spec)
}

// automatic reports whether an object is the server's to update: as its
// annotation says or, where that says nothing, as long as nobody has changed it.
func automatic(o metav1.Object) bool {
	if yes, err := strconv.ParseBool(o.GetAnnotations()[flowcontrolv1.AutoUpdateAnnotationKey]); err == nil {
		return yes
	}
	return o.GetGeneration() == 1
}

// revise decides whether an object is to be written.
func revise(o metav1.Object, mandatory, same bool) bool {
	if mandatory {
		return !same || o.GetAnnotations()[flowcontrolv1.AutoUpdateAnnotationKey] != "true"
	}
	auto := automatic(o)
	return auto && !same || o.GetAnnotations()[flowcontrolv1.AutoUpdateAnnotationKey] != strconv.FormatBool(auto)
}

// mark writes down whether an object is the server's to update.
func mark(o metav1.Object, mandatory bool) {
	a := o.GetAnnotations()
	if a == nil {
		a = map[string]string{}
	}
	a[flowcontrolv1.AutoUpdateAnnotationKey] = strconv.FormatBool(mandatory || automatic(o))
	o.SetAnnotations(a)
}

// Run follows the objects until ctx ends.
func (o *Objects) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	changed := make(chan struct{}, 1)
	schemas, levels := newCollected(changed), newCollected(changed)
	var following sync.WaitGroup
	follow := func(def *resource.Definition, c *collected) {
		following.Go(func() {
			if err := source.Follow(ctx, o.Hub, def, c, c.ready); err != nil && ctx.Err() == nil {
				o.Log.Error("priorities of requests are not followed any more", "resource", def.Plural, "err", err)
			}
		})
	}
	follow(o.Schemas, schemas)
	follow(o.Levels, levels)
	defer func() { cancel(); following.Wait() }()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		case <-retry:
		}
		retry = nil
		if !schemas.isReady() || !levels.isReady() {
			continue
		}
		s, l := listOf[*flowcontrolv1.FlowSchema](schemas), listOf[*flowcontrolv1.PriorityLevelConfiguration](levels)
		o.Fairness.Configure(s, l)
		if err := o.keep(ctx, s, l); err != nil && ctx.Err() == nil {
			o.Log.Warn("objects of priority and fairness were not written; trying again", "err", err)
			retry = time.After(objectsRetry)
		}
	}
}

// keep writes what the objects lack.
func (o *Objects) keep(ctx context.Context, schemas []*flowcontrolv1.FlowSchema, levels []*flowcontrolv1.PriorityLevelConfiguration) error {
	if missing(schemas, levels) {
		if err := o.Ensure(ctx); err != nil {
			return err
		}
	}
	there := map[string]bool{}
	for _, l := range levels {
		there[l.Name] = true
	}
	for _, s := range schemas {
		if err := o.tell(ctx, s, there[s.Spec.PriorityLevelConfiguration.Name]); err != nil {
			return err
		}
	}
	return nil
}

// missing reports whether something that every cluster has is not there, or is
// not as it must be.
func missing(schemas []*flowcontrolv1.FlowSchema, levels []*flowcontrolv1.PriorityLevelConfiguration) bool {
	s, l := map[string]*flowcontrolv1.FlowSchema{}, map[string]*flowcontrolv1.PriorityLevelConfiguration{}
	for _, x := range schemas {
		s[x.Name] = x
	}
	for _, x := range levels {
		l[x.Name] = x
	}
	for i, want := range append(bootstrap.MandatoryFlowSchemas[:2:2], bootstrap.SuggestedFlowSchemas...) {
		is, mandatory := s[want.Name], i < len(bootstrap.MandatoryFlowSchemas)
		if is == nil || revise(is, mandatory, check.Equal(&want.Spec, &is.Spec)) {
			return true
		}
	}
	for i, want := range append(bootstrap.MandatoryPriorityLevelConfigurations[:2:2], bootstrap.SuggestedPriorityLevelConfigurations...) {
		is, mandatory := l[want.Name], i < len(bootstrap.MandatoryPriorityLevelConfigurations)
		if is == nil || revise(is, mandatory, sameLevel(want, is, mandatory)) {
			return true
		}
	}
	return false
}

// tell says in the status of a schema whether its level is there.
func (o *Objects) tell(ctx context.Context, s *flowcontrolv1.FlowSchema, found bool) error {
	is, reason := flowcontrolv1.ConditionFalse, "Found"
	says := fmt.Sprintf("This FlowSchema references the PriorityLevelConfiguration object named %q and it exists", s.Spec.PriorityLevelConfiguration.Name)
	if !found {
		is, reason = flowcontrolv1.ConditionTrue, "NotFound"
		says = fmt.Sprintf("This FlowSchema references the PriorityLevelConfiguration object named %q but there is no such object", s.Spec.PriorityLevelConfiguration.Name)
	}
	for _, c := range s.Status.Conditions {
		if c.Type == flowcontrolv1.FlowSchemaConditionDangling && c.Status == is && c.Message == says {
			return nil
		}
	}
	condition := apply.FlowSchemaCondition().WithType(flowcontrolv1.FlowSchemaConditionDangling).WithStatus(is).
		WithReason(reason).WithMessage(says).WithLastTransitionTime(metav1.Now())
	_, err := o.Client.FlowcontrolV1().FlowSchemas().ApplyStatus(ctx,
		apply.FlowSchema(s.Name).WithUID(s.UID).WithStatus(apply.FlowSchemaStatus().WithConditions(condition)),
		metav1.ApplyOptions{FieldManager: consumer, Force: true})
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return fmt.Errorf("status of flow schema %s: %w", s.Name, err)
	}
	return nil
}

// collected is a source.Index that keeps objects by name and notes changes.
type collected struct {
	changed chan<- struct{}
	mu      sync.Mutex
	all     map[string]metav1.Object
	loaded  bool
}

func newCollected(changed chan<- struct{}) *collected {
	return &collected{changed: changed, all: map[string]metav1.Object{}}
}

func (c *collected) Set(obj any) {
	c.change(func() { o := obj.(metav1.Object); c.all[o.GetName()] = o })
}
func (c *collected) Delete(obj any) {
	c.change(func() { delete(c.all, obj.(metav1.Object).GetName()) })
}
func (c *collected) ready() { c.change(func() { c.loaded = true }) }

func (c *collected) change(f func()) {
	c.mu.Lock()
	f()
	c.mu.Unlock()
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

func (c *collected) isReady() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.loaded
}

func listOf[T metav1.Object](c *collected) []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]T, 0, len(c.all))
	for _, o := range c.all {
		out = append(out, o.(T))
	}
	return out
}
