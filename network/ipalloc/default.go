package ipalloc

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applymeta "k8s.io/client-go/applyconfigurations/meta/v1"
	apply "k8s.io/client-go/applyconfigurations/networking/v1"
	"k8s.io/client-go/kubernetes"

	"proa/auth/source"
	"proa/cache"
	"proa/resource"
)

// The default is made and said to be ready by the API server, as upstream's
// does under this name.
const (
	defaultManager = "kubernetes-service-cidr-controller"
	defaultReady   = "Kubernetes default Service CIDR is ready"
	// defaultRetry is how long a failed attempt to make the default rests.
	defaultRetry = 10 * time.Second
)

// Default keeps the default ServiceCIDR: the ranges that this server is
// configured with. Another server may be configured differently; what is there
// stays as it is, but for a second IP family that this server adds.
type Default struct {
	Client kubernetes.Interface
	Ranges []netip.Prefix
	Log    *slog.Logger
}

// Ensure makes what is missing.
func (d Default) Ensure(ctx context.Context) error {
	client := d.Client.NetworkingV1().ServiceCIDRs()
	var want []string
	for _, p := range d.Ranges {
		want = append(want, p.Masked().String())
	}
	is, err := client.Get(ctx, DefaultServiceCIDR, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		is, err = client.Create(ctx, &networkingv1.ServiceCIDR{
			ObjectMeta: metav1.ObjectMeta{Name: DefaultServiceCIDR}, Spec: networkingv1.ServiceCIDRSpec{CIDRs: want},
		}, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) {
			is, err = client.Get(ctx, DefaultServiceCIDR, metav1.GetOptions{})
		}
	}
	if err != nil {
		return fmt.Errorf("make the default ServiceCIDR: %w", err)
	}
	if !is.DeletionTimestamp.IsZero() {
		return nil
	}
	if has := is.Spec.CIDRs; len(has) == 1 && len(want) == 2 && has[0] == want[0] {
		is = is.DeepCopy()
		is.Spec.CIDRs = want
		if is, err = client.Update(ctx, is, metav1.UpdateOptions{}); err != nil {
			return fmt.Errorf("add a range to the default ServiceCIDR: %w", err)
		}
	}
	if !slices.Equal(is.Spec.CIDRs, want) {
		d.Log.Warn("the default ServiceCIDR has other ranges than this server is configured with; its own are used",
			"has", is.Spec.CIDRs, "configured", want)
		return nil
	}
	if c := meta.FindStatusCondition(is.Status.Conditions, networkingv1.ServiceCIDRConditionReady); c != nil && c.Status != metav1.ConditionUnknown {
		return nil
	}
	ready := applymeta.Condition().WithType(networkingv1.ServiceCIDRConditionReady).WithStatus(metav1.ConditionTrue).
		WithMessage(defaultReady).WithLastTransitionTime(metav1.Now())
	_, err = client.ApplyStatus(ctx, apply.ServiceCIDR(DefaultServiceCIDR).WithStatus(apply.ServiceCIDRStatus().WithConditions(ready)),
		metav1.ApplyOptions{FieldManager: defaultManager, Force: true})
	if err != nil {
		return fmt.Errorf("say that the default ServiceCIDR is ready: %w", err)
	}
	return nil
}

// Run makes the default whenever it is not there, until ctx ends. def is the
// definition of ServiceCIDRs in the table in use.
func (d Default) Run(ctx context.Context, hub *cache.Hub, def *resource.Definition) error {
	ctx, cancel := context.WithCancel(ctx)
	gone, followed := make(defaultGone, 1), make(chan error, 1)
	// What went before this follows is looked for once it does.
	go func() { followed <- source.Follow(ctx, hub, def, gone, gone.note) }()
	defer func() { cancel(); <-followed }()
	var retry <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-gone:
		case <-retry:
		}
		retry = nil
		if err := d.Ensure(ctx); err != nil && ctx.Err() == nil {
			d.Log.Warn("the default ServiceCIDR is missing; trying again", "err", err)
			retry = time.After(defaultRetry)
		}
	}
}

// defaultGone is a source.Index that notes when the default goes. It has room for
// one note.
type defaultGone chan struct{}

func (g defaultGone) Set(any) {}

func (g defaultGone) Delete(obj any) {
	if obj.(*networkingv1.ServiceCIDR).Name == DefaultServiceCIDR {
		g.note()
	}
}

func (g defaultGone) note() {
	select {
	case g <- struct{}{}:
	default:
	}
}
