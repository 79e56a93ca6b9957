package register

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	nodeutil "k8s.io/component-helpers/node/util"
)

// Intervals of the node's status.
const (
	DefaultCheck  = 10 * time.Second
	DefaultReport = 5 * time.Minute
	// while the node is not ready, readiness is looked for this often.
	hurried = 100 * time.Millisecond
	// for at most this long after the start.
	hurry = 30 * time.Second
)

// Registrar keeps the Node object. Run it once; Node and Poke may be called from
// anywhere.
type Registrar struct {
	Client  kubernetes.Interface
	Config  Config
	Machine Machine
	// Runtime asks the container runtime about itself.
	Runtime func(ctx context.Context) Runtime
	// Pressure tells what the node runs out of; nil means nothing.
	Pressure func() Pressure
	// Register is false when someone else creates the Node object.
	Register bool
	// Event records an event on the node.
	Event func(eventType, reason, message string)
	// Changed is called with each new Node object; may be nil.
	Changed func(*v1.Node)
	// Ready is called once, when the API server shows the node as ready and it
	// is: what a former run has left there does not count. May be nil.
	Ready func()
	// Check and Report are the intervals, defaulted if zero.
	Check, Report time.Duration
	Log           *slog.Logger

	mu   sync.Mutex
	node *v1.Node
	once sync.Once // makes the channels
	poke chan struct{}
	// registered is closed with the first Node object.
	registered chan struct{}
}

func (r *Registrar) init() {
	r.once.Do(func() { r.poke, r.registered = make(chan struct{}, 1), make(chan struct{}) })
}

func (r *Registrar) pokes() chan struct{} {
	r.init()
	return r.poke
}

// Registered is closed once there is a Node object.
func (r *Registrar) Registered() <-chan struct{} {
	r.init()
	return r.registered
}

// Poke makes the registrar look at the node's status now.
func (r *Registrar) Poke() {
	select {
	case r.pokes() <- struct{}{}:
	default:
	}
}

// Node returns the newest Node object known, nil before the registration.
func (r *Registrar) Node() *v1.Node {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.node
}

func (r *Registrar) keep(n *v1.Node) {
	r.init()
	r.mu.Lock()
	if r.node == nil {
		close(r.registered)
	}
	r.node = n
	r.mu.Unlock()
	if r.Changed != nil {
		r.Changed(n)
	}
}

// Run registers the node and keeps its status until ctx ends.
func (r *Registrar) Run(ctx context.Context) {
	check, report := r.Check, r.Report
	if check <= 0 {
		check = DefaultCheck
	}
	if report <= 0 {
		report = DefaultReport
	}
	for delay := 100 * time.Millisecond; ; delay = min(2*delay, 7*time.Second) {
		err := r.register(ctx)
		if err == nil || ctx.Err() != nil {
			break
		}
		r.Log.Warn("node not registered; will retry", "node", r.Config.NodeName, "error", err, "in", delay)
		if !sleep(ctx, delay) {
			return
		}
	}
	var following sync.WaitGroup
	following.Go(func() { r.follow(ctx) })
	defer following.Wait()
	started, reported, told := time.Now(), time.Now(), r.Ready == nil
	for ctx.Err() == nil {
		ready, wrote, err := r.update(ctx, time.Since(reported) >= report)
		if err != nil && ctx.Err() == nil {
			r.Log.Warn("node status not written; will retry", "node", r.Config.NodeName, "error", err)
		}
		if wrote {
			reported = time.Now()
		}
		if ready && err == nil && !told {
			told = true
			r.Ready()
		}
		wait := check
		if !ready && time.Since(started) < hurry {
			wait = hurried
		}
		select {
		case <-ctx.Done():
			return
		case <-r.pokes():
		case <-time.After(wait):
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// register creates the Node object, status and all, or adjusts the one there is.
func (r *Registrar) register(ctx context.Context) error {
	nodes := r.Client.CoreV1().Nodes()
	if r.Register {
		n := New(r.Machine, r.Config)
		n.Status = r.status(ctx, v1.NodeStatus{})
		made, err := nodes.Create(ctx, n, metav1.CreateOptions{})
		if err == nil {
			r.Log.Info("node registered", "node", made.Name)
			r.keep(made)
			return nil
		}
		if !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create node: %w", err)
		}
	}
	n, err := nodes.Get(ctx, r.Config.NodeName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("get node: %w", err)
	}
	if r.Register {
		if n, err = r.relabel(ctx, n); err != nil {
			return err
		}
	}
	r.keep(n)
	return nil
}

// relabel gives an existing Node the labels that describe the machine. Labels of
// the configuration and taints are set on a new node only; after that they are
// the operator's.
func (r *Registrar) relabel(ctx context.Context, n *v1.Node) (*v1.Node, error) {
	want := New(r.Machine, r.Config)
	changed := n.DeepCopy()
	if changed.Labels == nil {
		changed.Labels = map[string]string{}
	}
	if changed.Annotations == nil {
		changed.Annotations = map[string]string{}
	}
	maps.Copy(changed.Labels, want.Labels)
	maps.Copy(changed.Annotations, want.Annotations)
	if equality.Semantic.DeepEqual(n, changed) {
		return n, nil
	}
	got, err := r.Client.CoreV1().Nodes().Update(ctx, changed, metav1.UpdateOptions{})
	if err != nil {
		return nil, fmt.Errorf("update labels of node: %w", err)
	}
	return got, nil
}

func (r *Registrar) status(ctx context.Context, before v1.NodeStatus) v1.NodeStatus {
	var p Pressure
	if r.Pressure != nil {
		p = r.Pressure()
	}
	return Status(before, r.Machine, r.Config, r.Runtime(ctx), p, time.Now())
}

// update writes the node's status if it changed, or if it is due, and reports
// whether the node is ready.
func (r *Registrar) update(ctx context.Context, due bool) (ready, wrote bool, err error) {
	before := r.Node()
	if before == nil {
		return false, false, fmt.Errorf("node %q is not registered", r.Config.NodeName)
	}
	s := r.status(ctx, before.Status)
	_, condition := nodeutil.GetNodeCondition(&s, v1.NodeReady)
	ready = condition != nil && condition.Status == v1.ConditionTrue
	if !due && SameStatus(before.Status, s) {
		return ready, false, nil
	}
	after := before.DeepCopy()
	after.Status = s
	got, _, err := nodeutil.PatchNodeStatus(r.Client.CoreV1(), types.NodeName(before.Name), before, after)
	if err != nil && r.Register && r.deleted(ctx) {
		// Someone deleted the node; it still lives. The next look tells more.
		return false, false, r.register(ctx)
	}
	if err != nil {
		return ready, false, fmt.Errorf("patch node status: %w", err)
	}
	r.announce(before.Status, got.Status)
	r.keep(got)
	return ready, true, nil
}

// deleted reports whether the API server has no such node. The helper that patches
// the status hides the kind of its errors.
func (r *Registrar) deleted(ctx context.Context) bool {
	_, err := r.Client.CoreV1().Nodes().Get(ctx, r.Config.NodeName, metav1.GetOptions{})
	return apierrors.IsNotFound(err)
}

// announce records changes of readiness and pressure as events.
func (r *Registrar) announce(before, after v1.NodeStatus) {
	if r.Event == nil {
		return
	}
	for i := range after.Conditions {
		c := &after.Conditions[i]
		_, old := nodeutil.GetNodeCondition(&before, c.Type)
		if old != nil && old.Status == c.Status {
			continue
		}
		on := c.Status == v1.ConditionTrue
		switch c.Type {
		case v1.NodeReady:
			reason := "NodeNotReady"
			if on {
				reason = "NodeReady"
			}
			r.Event(v1.EventTypeNormal, reason, fmt.Sprintf("Node %s status is now: %s", r.Config.NodeName, reason))
		case v1.NodeMemoryPressure, v1.NodeDiskPressure, v1.NodePIDPressure:
			if on || old != nil {
				reason := pressureReasons[c.Type][on]
				r.Event(v1.EventTypeNormal, reason, fmt.Sprintf("Node %s status is now: %s", r.Config.NodeName, reason))
			}
		}
	}
}

var pressureReasons = map[v1.NodeConditionType]map[bool]string{
	v1.NodeMemoryPressure: {true: "NodeHasInsufficientMemory", false: "NodeHasSufficientMemory"},
	v1.NodeDiskPressure:   {true: "NodeHasDiskPressure", false: "NodeHasNoDiskPressure"},
	v1.NodePIDPressure:    {true: "NodeHasInsufficientPID", false: "NodeHasSufficientPID"},
}

// SameStatus reports whether two statuses are equal but for the heartbeat times.
func SameStatus(a, b v1.NodeStatus) bool {
	a.Conditions, b.Conditions = beatless(a.Conditions), beatless(b.Conditions)
	return equality.Semantic.DeepEqual(a, b)
}

func beatless(list []v1.NodeCondition) []v1.NodeCondition {
	out := make([]v1.NodeCondition, len(list))
	for i := range list {
		out[i] = list[i]
		out[i].LastHeartbeatTime = metav1.Time{}
	}
	return out
}
