package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	kubeletconfig "k8s.io/kubelet/config/v1beta1"
	"k8s.io/utils/clock"

	nodecri "proa/node/cri"
)

// Config configures a Manager.
type Config struct {
	Service cri.ImageManagerService
	// MaxParallel bounds concurrent pulls; 1 is one after another, 0 is no
	// bound.
	MaxParallel int
	// NodeConfigs are docker config.json files with the node's own credentials,
	// tried after the pod's. They are read when needed and may be absent.
	NodeConfigs []string
	// Event records an event about one container of a pod; fieldPath is
	// spec.containers{name}. May be nil.
	Event func(pod *corev1.Pod, fieldPath, eventType, reason, message string)
	// Records is the directory of what is remembered of pulls
	// (<root>/image_manager); empty remembers nothing and checks nobody's right
	// to an image that is there.
	Records string
	// Verify says whose right to a present image is checked; upstream's default
	// if empty: of images that the agent pulled. Allowlist are repositories for
	// NeverVerifyAllowlistedImages.
	Verify    kubeletconfig.ImagePullCredentialsVerificationPolicy
	Allowlist []string
	// Pulled, if not nil, is told after each pull; a Collector looks then.
	Pulled func()
	Clock  clock.PassiveClock
	Log    *slog.Logger
}

// Manager ensures images. Safe for concurrent use; it runs no goroutine.
type Manager struct {
	cfg    Config
	slots  chan struct{}
	back   backOff
	access *access
}

// New makes a Manager.
func New(cfg Config) *Manager {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	m := &Manager{cfg: cfg, access: newAccess(cfg)}
	if cfg.MaxParallel > 0 {
		m.slots = make(chan struct{}, cfg.MaxParallel)
	}
	return m
}

// Request asks for the image of one container.
type Request struct {
	Pod       *corev1.Pod
	Container *corev1.Container
	// PullSecrets are the resolved imagePullSecrets.
	PullSecrets []*corev1.Secret
	Sandbox     *runtimeapi.PodSandboxConfig
	// RuntimeHandler of the pod's RuntimeClass.
	RuntimeHandler string
}

// Result is an image that is present.
type Result struct {
	// Ref goes into the container's config: the image's id.
	Ref string
	// User is whom the image runs as; known however the image came here.
	User nodecri.ImageUser
}

// Ensure makes the image present as the pull policy says. It blocks while the
// image is pulled. Failures are *Error, unless ctx ended.
func (m *Manager) Ensure(ctx context.Context, r Request) (Result, error) {
	event := func(kind, reason, msg string) {
		if m.cfg.Event != nil {
			m.cfg.Event(r.Pod, FieldPath(r.Pod, r.Container.Name), kind, reason, msg)
		}
	}
	requested := r.Container.Image
	name, err := withDefaultTag(requested)
	if err != nil {
		e := &Error{ReasonInvalidName, fmt.Sprintf("Failed to apply default image tag %q: %v", requested, err), err}
		event(corev1.EventTypeWarning, "InspectFailed", e.Message)
		return Result{}, e
	}
	spec := &runtimeapi.ImageSpec{
		Image: name, UserSpecifiedImage: requested, RuntimeHandler: r.RuntimeHandler,
		Annotations: r.Pod.Annotations,
	}
	repo, err := repository(name)
	if err != nil {
		return Result{}, &Error{ReasonInvalidName, err.Error(), err}
	}
	creds := m.credentials(repo, r)
	res, present, err := m.status(ctx, spec)
	if p := policy(r.Container); p != corev1.PullAlways {
		found := present && !m.access.mustPull(name, repo, res.Ref, creds, m.cfg.Clock.Now())
		switch {
		case err != nil:
			e := &Error{ReasonInspect, fmt.Sprintf("Failed to inspect image %q: %v", name, err), err}
			event(corev1.EventTypeWarning, "InspectFailed", e.Message)
			return Result{}, e
		case found:
			event(corev1.EventTypeNormal, "Pulled", fmt.Sprintf("Container image %q already present on machine and can be accessed by the pod", requested))
			return res, nil
		case p == corev1.PullNever:
			e := &Error{ReasonNeverPull, fmt.Sprintf("Container image %q is not present with pull policy of Never", requested), nil}
			event(corev1.EventTypeWarning, ReasonNeverPull, e.Message)
			return Result{}, e
		}
	}
	key := string(r.Pod.UID) + "_" + name
	if last, waiting := m.back.waiting(key, m.cfg.Clock.Now()); waiting {
		msg := fmt.Sprintf("Back-off pulling image %q", name)
		event(corev1.EventTypeNormal, "BackOff", msg)
		return Result{}, &Error{ReasonBackOff, msg + ": " + last.Reason + ": " + last.Message, nil}
	}
	event(corev1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", name))
	start := m.cfg.Clock.Now()
	began, size, res, err := m.pull(ctx, spec, repo, creds, present, r.Sandbox)
	if err != nil {
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
		event(corev1.EventTypeWarning, "Failed", fmt.Sprintf("Failed to pull image %q: %v", name, err))
		e := pullError(name, err)
		m.back.failed(key, m.cfg.Clock.Now(), e)
		return Result{}, e
	}
	end := m.cfg.Clock.Now()
	event(corev1.EventTypeNormal, "Pulled", fmt.Sprintf("Successfully pulled image %q in %v (%v including waiting). Image size: %v bytes.",
		name, end.Sub(began).Truncate(time.Millisecond), end.Sub(start).Truncate(time.Millisecond), size))
	if m.cfg.Pulled != nil {
		m.cfg.Pulled()
	}
	return res, nil
}

// pull waits for its turn and tries the credentials in order. began is when
// the pull itself started.
func (m *Manager) pull(ctx context.Context, spec *runtimeapi.ImageSpec, repo string, creds []Credential, present bool, sandbox *runtimeapi.PodSandboxConfig) (began time.Time, size uint64, res Result, err error) {
	if m.slots != nil {
		select {
		case m.slots <- struct{}{}:
			defer func() { <-m.slots }()
		case <-ctx.Done():
			return began, 0, Result{}, ctx.Err()
		}
	}
	began = m.cfg.Clock.Now()
	var ref string
	var with Credential
	var errs []error
	if !present {
		m.access.begin(spec.Image)
	}
	defer func() { m.access.end(spec.Image, repo, ref, with, !present, m.cfg.Clock.Now()) }()
	for _, c := range creds {
		if ref, err = m.cfg.Service.PullImage(ctx, spec, c.Auth, sandbox); err == nil {
			errs, with = nil, c
			break
		}
		ref = ""
		errs = append(errs, err)
	}
	if len(errs) == 1 {
		return began, 0, Result{}, errs[0]
	} else if len(errs) > 1 {
		return began, 0, Result{}, utilerrors.NewAggregate(errs)
	}
	st, err := m.cfg.Service.ImageStatus(ctx, &runtimeapi.ImageSpec{Image: ref, RuntimeHandler: spec.RuntimeHandler}, false)
	if err != nil {
		return began, 0, Result{}, fmt.Errorf("inspect the pulled image: %w", err)
	}
	if st.GetImage() == nil {
		return began, 0, Result{}, fmt.Errorf("image %q is gone right after its pull; is the disk full?", spec.Image)
	}
	return began, st.Image.Size, Result{Ref: ref, User: user(st.Image)}, nil
}

// Retain forgets what is remembered of images that are gone; a Collector calls
// it with what is present.
func (m *Manager) Retain(present map[string]bool) { m.access.retain(present) }

// credentials to try: those that match, or none at all.
func (m *Manager) credentials(repo string, r Request) []Credential {
	var ring Keyring
	for _, s := range r.PullSecrets {
		if err := ring.AddSecret(s); err != nil {
			m.cfg.Log.Warn("unreadable pull secret", "pod", nodecri.PodString(r.Pod), "err", err)
		}
	}
	found := ring.Lookup(repo)
	for _, file := range m.cfg.NodeConfigs {
		data, err := os.ReadFile(file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		var own Keyring
		if err == nil {
			err = own.AddConfigJSON(data)
		}
		if err != nil {
			m.cfg.Log.Warn("unreadable credentials of the node", "file", file, "err", err)
			continue
		}
		found = append(found, own.Lookup(repo)...)
	}
	if len(found) == 0 {
		return []Credential{{}}
	}
	return found
}

// status looks the image up on the node.
func (m *Manager) status(ctx context.Context, spec *runtimeapi.ImageSpec) (Result, bool, error) {
	st, err := m.cfg.Service.ImageStatus(ctx, spec, false)
	if err != nil {
		return Result{}, false, err
	}
	if st.GetImage() == nil {
		return Result{}, false, nil
	}
	return Result{Ref: st.Image.Id, User: user(st.Image)}, true, nil
}

func user(i *runtimeapi.Image) nodecri.ImageUser {
	if i.Uid != nil {
		return nodecri.ImageUser{UID: &i.Uid.Value}
	}
	return nodecri.ImageUser{Name: i.Username}
}

// FieldPath names a container within its pod, as events refer to it.
func FieldPath(pod *corev1.Pod, container string) string {
	for i := range pod.Spec.InitContainers {
		if pod.Spec.InitContainers[i].Name == container {
			return "spec.initContainers{" + container + "}"
		}
	}
	for i := range pod.Spec.EphemeralContainers {
		if pod.Spec.EphemeralContainers[i].Name == container {
			return "spec.ephemeralContainers{" + container + "}"
		}
	}
	return "spec.containers{" + container + "}"
}
