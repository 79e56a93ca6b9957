package critest

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Program is what the containers of an image do.
type Program struct {
	// Runs is how long a container runs before it exits by itself; 0 is forever.
	Runs time.Duration
	// Code is its exit code then.
	Code int32
	// Stops is how long it takes to exit, with code 0, after it was asked to.
	Stops time.Duration
	// Deaf containers do not stop until they are killed.
	Deaf bool
	// Broken containers fail to start.
	Broken bool
	// Then replaces the program for the instances after this one; nil repeats it.
	Then *Program
}

// Runtime is the runtime. Make it with New.
type Runtime struct {
	mu         sync.Mutex
	serial     int
	images     map[string]*Program
	sandboxes  map[string]*sandbox
	containers map[string]*container
	watchers   map[chan *runtimeapi.ContainerEventResponse]bool
	log        []string
	violations []string
	exec       func(containerID string, cmd []string) (string, int, error)
	fail       func(call string) error
	delay      time.Duration
	used       map[string]uint64 // memory, by image
	networkOff bool
	noEvents   bool
}

type sandbox struct {
	id, ip  string
	config  *runtimeapi.PodSandboxConfig
	ready   bool
	created int64
}

type container struct {
	id       string
	config   *runtimeapi.ContainerConfig
	sandbox  *sandbox
	state    runtimeapi.ContainerState
	created  int64
	started  int64
	finished int64
	code     int32
	reason   string
	program  Program
	exited   chan struct{}
	// resources are those of the configuration, or of the last update.
	resources *runtimeapi.LinuxContainerResources
	asked     bool
}

// New returns a runtime that has the given images.
func New(images map[string]Program) *Runtime {
	r := &Runtime{
		images:     map[string]*Program{},
		sandboxes:  map[string]*sandbox{},
		containers: map[string]*container{},
		watchers:   map[chan *runtimeapi.ContainerEventResponse]bool{},
		used:       map[string]uint64{},
	}
	for name, p := range images {
		r.images[name] = &p
	}
	return r
}

// Program sets what containers of an image made from now on do.
func (r *Runtime) Program(image string, p Program) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[image] = &p
}

// Fail makes calls fail: f is asked for each, with a text like "StartContainer app".
func (r *Runtime) Fail(f func(call string) error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fail = f
}

// Delay makes every changing call take so long.
func (r *Runtime) Delay(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.delay = d
}

// OnExec answers ExecSync.
func (r *Runtime) OnExec(f func(containerID string, cmd []string) (output string, code int, err error)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exec = f
}

// WithoutEvents makes the runtime one that has no event stream.
func (r *Runtime) WithoutEvents() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noEvents = true
}

// Log returns the calls that changed something, in order.
func (r *Runtime) Log() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.log)
}

// Violations returns what a careful caller would not have done.
func (r *Runtime) Violations() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.violations)
}

// Running returns the names of running containers, sorted.
func (r *Runtime) Running() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, c := range r.containers {
		if c.state == runtimeapi.ContainerState_CONTAINER_RUNNING {
			out = append(out, c.name())
		}
	}
	slices.Sort(out)
	return out
}

// Empty reports whether the runtime holds neither sandboxes nor containers.
func (r *Runtime) Empty() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.sandboxes) == 0 && len(r.containers) == 0
}

// Kill ends a running container of the given name with a code, as a crash does.
func (r *Runtime) Kill(name string, code int32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if c.name() == name && c.state == runtimeapi.ContainerState_CONTAINER_RUNNING {
			r.exit(c, code, "Error")
		}
	}
}

// KillSandboxes makes all sandboxes not ready, with everything in them, as a
// reboot does.
func (r *Runtime) KillSandboxes() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sandboxes {
		r.stopSandbox(s)
	}
}

// ID returns the ID of the newest container of a name, or "".
func (r *Runtime) ID(name string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	id, serial := "", int64(-1)
	for _, c := range r.containers {
		if c.name() == name && c.created > serial {
			id, serial = c.id, c.created
		}
	}
	return id
}

func (c *container) name() string { return c.config.GetMetadata().GetName() }

func (r *Runtime) violate(format string, args ...any) {
	r.violations = append(r.violations, fmt.Sprintf(format, args...))
}

// enter begins a call that changes something.
func (r *Runtime) enter(ctx context.Context, call string) error {
	r.mu.Lock()
	delay, fail := r.delay, r.fail
	r.mu.Unlock()
	if delay > 0 {
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
	}
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	if fail != nil {
		if err := fail(call); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.log = append(r.log, call)
	return nil
}

func (r *Runtime) next(kind string) string {
	r.serial++
	return fmt.Sprintf("%s%d", kind, r.serial)
}

func notFound(kind, id string) error {
	return status.Errorf(codes.NotFound, "%s %q not found", kind, id)
}

// RunPodSandbox implements CRI.
func (r *Runtime) RunPodSandbox(ctx context.Context, config *runtimeapi.PodSandboxConfig, _ string) (string, error) {
	m := config.GetMetadata()
	if err := r.enter(ctx, fmt.Sprintf("RunPodSandbox %s#%d", m.GetName(), m.GetAttempt())); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sandboxes {
		o := s.config.GetMetadata()
		if o.GetUid() != m.GetUid() {
			continue
		}
		if o.GetAttempt() == m.GetAttempt() {
			return "", status.Errorf(codes.AlreadyExists, "sandbox %s#%d exists", m.GetName(), m.GetAttempt())
		}
		if s.ready {
			r.violate("pod %s has two ready sandboxes", m.GetName())
		}
	}
	s := &sandbox{id: r.next("s"), config: config, ready: true, created: r.now()}
	if config.GetLinux().GetSecurityContext().GetNamespaceOptions().GetNetwork() != runtimeapi.NamespaceMode_NODE {
		s.ip = fmt.Sprintf("10.42.0.%d", r.serial)
	}
	r.sandboxes[s.id] = s
	r.tell(s, s.id, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	r.tell(s, s.id, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	return s.id, nil
}

// now is a clock that never shows the same time twice.
func (r *Runtime) now() int64 {
	r.serial++
	return time.Now().UnixNano() + int64(r.serial)
}

// StopPodSandbox implements CRI.
func (r *Runtime) StopPodSandbox(ctx context.Context, id string) error {
	if err := r.enter(ctx, "StopPodSandbox "+r.sandboxName(id)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sandboxes[id]; s != nil {
		r.stopSandbox(s)
	}
	return nil
}

func (r *Runtime) sandboxName(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.sandboxes[id]; s != nil {
		return fmt.Sprintf("%s#%d", s.config.GetMetadata().GetName(), s.config.GetMetadata().GetAttempt())
	}
	return id
}

func (r *Runtime) containerName(id string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	if c := r.containers[id]; c != nil {
		return fmt.Sprintf("%s#%d", c.name(), c.config.GetMetadata().GetAttempt())
	}
	return id
}

func (r *Runtime) stopSandbox(s *sandbox) {
	for _, c := range r.containers {
		if c.sandbox == s && c.state == runtimeapi.ContainerState_CONTAINER_RUNNING {
			r.exit(c, 137, "Error")
		}
	}
	if s.ready {
		s.ready = false
		r.tell(s, s.id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
	}
}

// RemovePodSandbox implements CRI.
func (r *Runtime) RemovePodSandbox(ctx context.Context, id string) error {
	if err := r.enter(ctx, "RemovePodSandbox "+r.sandboxName(id)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sandboxes[id]
	if s == nil {
		return nil
	}
	r.stopSandbox(s)
	for cid, c := range r.containers {
		if c.sandbox == s {
			delete(r.containers, cid)
		}
	}
	delete(r.sandboxes, id)
	r.tell(s, s.id, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
	return nil
}

// CreateContainer implements CRI.
func (r *Runtime) CreateContainer(ctx context.Context, sandboxID string, config *runtimeapi.ContainerConfig, _ *runtimeapi.PodSandboxConfig) (string, error) {
	m := config.GetMetadata()
	if err := r.enter(ctx, fmt.Sprintf("CreateContainer %s#%d", m.GetName(), m.GetAttempt())); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.sandboxes[sandboxID]
	if s == nil {
		return "", notFound("sandbox", sandboxID)
	}
	if !s.ready {
		return "", status.Errorf(codes.FailedPrecondition, "sandbox %q is not ready", sandboxID)
	}
	program := r.images[config.GetImage().GetImage()]
	if program == nil {
		return "", notFound("image", config.GetImage().GetImage())
	}
	for _, c := range r.containers {
		o := c.config.GetMetadata()
		if c.sandbox == s && o.GetName() == m.GetName() && o.GetAttempt() == m.GetAttempt() {
			return "", status.Errorf(codes.AlreadyExists, "container %s#%d exists", m.GetName(), m.GetAttempt())
		}
	}
	c := &container{id: r.next("c"), config: config, sandbox: s, created: r.now(), program: *program, exited: make(chan struct{}), resources: config.GetLinux().GetResources()}
	if program.Then != nil {
		r.images[config.GetImage().GetImage()] = program.Then
	}
	r.containers[c.id] = c
	r.tell(s, c.id, runtimeapi.ContainerEventType_CONTAINER_CREATED_EVENT)
	return c.id, nil
}

// StartContainer implements CRI.
func (r *Runtime) StartContainer(ctx context.Context, id string) error {
	if err := r.enter(ctx, "StartContainer "+r.containerName(id)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[id]
	if c == nil {
		return notFound("container", id)
	}
	if c.state != runtimeapi.ContainerState_CONTAINER_CREATED {
		return status.Errorf(codes.FailedPrecondition, "container %q is not freshly created", id)
	}
	for _, o := range r.containers {
		if o != c && o.name() == c.name() && o.state == runtimeapi.ContainerState_CONTAINER_RUNNING &&
			o.sandbox.config.GetMetadata().GetUid() == c.sandbox.config.GetMetadata().GetUid() {
			r.violate("two instances of container %s run at once", c.name())
		}
	}
	if c.program.Broken {
		r.exit(c, 128, "StartError")
		return status.Errorf(codes.Unknown, "failed to start container %q", id)
	}
	c.state, c.started = runtimeapi.ContainerState_CONTAINER_RUNNING, r.now()
	r.tell(c.sandbox, c.id, runtimeapi.ContainerEventType_CONTAINER_STARTED_EVENT)
	if d := c.program.Runs; d > 0 {
		reason := "Completed"
		if c.program.Code != 0 {
			reason = "Error"
		}
		time.AfterFunc(d, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.exit(c, c.program.Code, reason)
		})
	}
	return nil
}

// exit records the end of a container, once.
func (r *Runtime) exit(c *container, code int32, reason string) {
	if c.state == runtimeapi.ContainerState_CONTAINER_EXITED {
		return
	}
	c.state, c.finished, c.code, c.reason = runtimeapi.ContainerState_CONTAINER_EXITED, r.now(), code, reason
	close(c.exited)
	r.tell(c.sandbox, c.id, runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT)
}

// StopContainer implements CRI.
func (r *Runtime) StopContainer(ctx context.Context, id string, timeout int64) error {
	if err := r.enter(ctx, fmt.Sprintf("StopContainer %s %ds", r.containerName(id), timeout)); err != nil {
		return err
	}
	r.mu.Lock()
	c := r.containers[id]
	if c == nil || c.state != runtimeapi.ContainerState_CONTAINER_RUNNING {
		r.mu.Unlock()
		return nil
	}
	if !c.asked && !c.program.Deaf {
		time.AfterFunc(c.program.Stops, func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.exit(c, 0, "Completed")
		})
	}
	c.asked = true
	r.mu.Unlock()
	select {
	case <-c.exited:
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	case <-time.After(time.Duration(timeout) * time.Second):
		r.mu.Lock()
		r.exit(c, 137, "Error")
		r.mu.Unlock()
	}
	return nil
}

// RemoveContainer implements CRI.
func (r *Runtime) RemoveContainer(ctx context.Context, id string) error {
	if err := r.enter(ctx, "RemoveContainer "+r.containerName(id)); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.containers[id]
	if c == nil {
		return nil
	}
	if c.state == runtimeapi.ContainerState_CONTAINER_RUNNING {
		r.violate("container %s is removed while it runs", c.name())
		r.exit(c, 137, "Error")
	}
	delete(r.containers, id)
	r.tell(c.sandbox, c.id, runtimeapi.ContainerEventType_CONTAINER_DELETED_EVENT)
	return nil
}

// tell sends an event to all watchers. Like a real runtime's, the stream has
// bounds: what does not fit is lost.
func (r *Runtime) tell(s *sandbox, id string, t runtimeapi.ContainerEventType) {
	e := &runtimeapi.ContainerEventResponse{
		ContainerId: id, ContainerEventType: t, CreatedAt: time.Now().UnixNano(),
		PodSandboxStatus: r.sandboxStatus(s),
	}
	for ch := range r.watchers {
		select {
		case ch <- e:
		default:
		}
	}
}

func (r *Runtime) sandboxStatus(s *sandbox) *runtimeapi.PodSandboxStatus {
	out := &runtimeapi.PodSandboxStatus{
		Id: s.id, Metadata: s.config.GetMetadata(), State: s.state(), CreatedAt: s.created, Labels: maps.Clone(s.config.GetLabels()),
		Network: &runtimeapi.PodSandboxNetworkStatus{Ip: s.ip},
		Linux:   &runtimeapi.LinuxPodSandboxStatus{Namespaces: &runtimeapi.Namespace{Options: s.config.GetLinux().GetSecurityContext().GetNamespaceOptions()}},
	}
	return out
}

func (s *sandbox) state() runtimeapi.PodSandboxState {
	if s.ready {
		return runtimeapi.PodSandboxState_SANDBOX_READY
	}
	return runtimeapi.PodSandboxState_SANDBOX_NOTREADY
}

func matches(labels, selector map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// Dump prints what the runtime holds, one line each.
func (r *Runtime) Dump() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for _, s := range r.sandboxes {
		lines = append(lines, fmt.Sprintf("sandbox %s#%d ready=%v", s.config.GetMetadata().GetName(), s.config.GetMetadata().GetAttempt(), s.ready))
	}
	for _, c := range r.containers {
		lines = append(lines, fmt.Sprintf("container %s#%d %s code=%d", c.name(), c.config.GetMetadata().GetAttempt(),
			strings.ToLower(strings.TrimPrefix(c.state.String(), "CONTAINER_")), c.code))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
