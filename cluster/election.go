package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"

	"proa/apiserver/health"
)

// The times of an election, as upstream's. Between the renewal deadline and the
// end of the lease, a leader that could not renew it has time to stop.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
	// leaseGrace past its lease, a leader that still believes in itself is not
	// healthy.
	leaseGrace = 20 * time.Second
)

// errLeaseLost ends a process: another leads now, or soon.
var errLeaseLost = errors.New("the lease was lost to another, or could not be renewed in time; start this process again to take part in the next election")

// election is about the Lease of a part in kube-system.
type election struct {
	elector *leaderelection.LeaderElector
	leading chan struct{}
	// healthy fails while the process holds on to a lease that is over.
	healthy health.Check
}

// newElection prepares an election for the Lease name.
func newElection(c *rest.Config, client kubernetes.Interface, name string, p *parts) (*election, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("find the host name: %w", err)
	}
	events := record.NewBroadcaster()
	events.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	p.atExit(events.Shutdown)
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, metav1.NamespaceSystem, name, resourcelock.ResourceLockConfig{
		Identity:      host + "_" + string(uuid.NewUUID()),
		EventRecorder: events.NewRecorder(scheme.Scheme, v1.EventSource{Component: name}),
	}, c, renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("leader election: %w", err)
	}
	e := &election{leading: make(chan struct{})}
	watchdog := leaderelection.NewLeaderHealthzAdaptor(leaseGrace)
	e.healthy = health.Check{Name: watchdog.Name(), Check: watchdog.Check}
	if e.elector, err = leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: lock, LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { close(e.leading) },
			OnStoppedLeading: func() {}, // the end of Run says it
		},
		WatchDog: watchdog, Name: name, ReleaseOnCancel: true,
	}); err != nil {
		return nil, fmt.Errorf("leader election: %w", err)
	}
	watchdog.SetLeaderElection(e.elector)
	return e, nil
}

// run takes part in the election until ctx ends, which is to be when the work
// has ended: the lease is released then, and another may begin at once. The
// loss of the lease is an error, which ends the process and with it the work.
func (e *election) run(ctx context.Context) error {
	e.elector.Run(ctx)
	if ctx.Err() == nil {
		return errLeaseLost
	}
	return nil
}

// won waits until this process leads, or p ends, and reports which.
func (e *election) won(p *parts) bool {
	select {
	case <-e.leading:
		return p.context().Err() == nil
	case <-p.context().Done():
		return false
	}
}
