package image

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	cri "k8s.io/cri-api/pkg/apis"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fakeService is an image store that enforces what CRI promises.
type fakeService struct {
	cri.ImageManagerService
	mu       sync.Mutex
	images   map[string]*runtimeapi.Image // by name and by id
	remote   map[string]*runtimeapi.Image
	password string // that the registry wants
	pullErr  error
	inspect  error
	pulls    int
	running  int
	most     int
	hold     time.Duration
}

func (f *fakeService) ImageStatus(_ context.Context, s *runtimeapi.ImageSpec, _ bool) (*runtimeapi.ImageStatusResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inspect != nil {
		return nil, f.inspect
	}
	return &runtimeapi.ImageStatusResponse{Image: f.images[s.Image]}, nil
}

func (f *fakeService) PullImage(_ context.Context, s *runtimeapi.ImageSpec, auth *runtimeapi.AuthConfig, _ *runtimeapi.PodSandboxConfig) (string, error) {
	f.mu.Lock()
	f.pulls++
	f.running++
	f.most = max(f.most, f.running)
	f.mu.Unlock()
	time.Sleep(f.hold)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.running--
	if f.pullErr != nil {
		return "", f.pullErr
	}
	if f.password != "" && auth.GetPassword() != f.password {
		return "", errors.New("rpc error: code = Unknown desc = unauthorized")
	}
	img, ok := f.remote[s.Image]
	if !ok {
		return "", fmt.Errorf("rpc error: code = NotFound desc = failed to pull and unpack image %q: not found", s.Image)
	}
	f.images[s.Image], f.images[img.Id] = img, img
	return img.Id, nil
}

func newFake() *fakeService {
	web := &runtimeapi.Image{Id: "sha256:web", Size: 7, Uid: &runtimeapi.Int64Value{Value: 1000}}
	return &fakeService{
		images: map[string]*runtimeapi.Image{},
		remote: map[string]*runtimeapi.Image{"web:latest": web, "web:1": web, "reg.test/a/web:1": web},
	}
}

type recorder struct {
	mu     sync.Mutex
	events []string
}

func (r *recorder) event(_ *corev1.Pod, path, kind, reason, msg string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, kind+" "+reason+" "+path+" "+msg)
}

func request(image string, p corev1.PullPolicy) Request {
	pod := &corev1.Pod{}
	pod.UID = "u"
	c := corev1.Container{Name: "c", Image: image, ImagePullPolicy: p}
	pod.Spec.Containers = []corev1.Container{c}
	return Request{Pod: pod, Container: &pod.Spec.Containers[0]}
}

func wantError(t *testing.T, err error, reason, message string) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want *Error", err)
	}
	if e.Reason != reason || e.Message != message {
		t.Errorf("got %s %q\nwant %s %q", e.Reason, e.Message, reason, message)
	}
}

func TestPoliciesAndTheirWords(t *testing.T) {
	t.Parallel()
	f, rec := newFake(), &recorder{}
	m := New(Config{Service: f, Event: rec.event})
	ctx := context.Background()

	_, err := m.Ensure(ctx, request("web", corev1.PullNever))
	wantError(t, err, "ErrImageNeverPull", `Container image "web" is not present with pull policy of Never`)
	_, err = m.Ensure(ctx, request("Not/Valid", ""))
	wantError(t, err, "InvalidImageName", `Failed to apply default image tag "Not/Valid": couldn't parse image name "Not/Valid": invalid reference format: repository name (Valid) must be lowercase`)
	if f.pulls != 0 {
		t.Errorf("%d pulls", f.pulls)
	}
	res, err := m.Ensure(ctx, request("web:1", ""))
	if err != nil || res.Ref != "sha256:web" || f.pulls != 1 {
		t.Fatalf("%+v %v %d", res, err, f.pulls)
	}
	if _, err = m.Ensure(ctx, request("web:1", "")); err != nil || f.pulls != 1 {
		t.Errorf("IfNotPresent pulled again: %v %d", err, f.pulls)
	}
	if _, err = m.Ensure(ctx, request("web:1", corev1.PullAlways)); err != nil || f.pulls != 2 {
		t.Errorf("Always did not pull: %v %d", err, f.pulls)
	}
	// The tag latest, written or implied, means Always.
	if _, err = m.Ensure(ctx, request("web", "")); err != nil || f.pulls != 3 {
		t.Errorf("latest did not pull: %v %d", err, f.pulls)
	}
	f.inspect = errors.New("broken")
	_, err = m.Ensure(ctx, request("web:1", ""))
	wantError(t, err, "ImageInspectError", `Failed to inspect image "web:1": broken`)

	all := strings.Join(rec.events, "\n")
	for _, want := range []string{
		"Warning ErrImageNeverPull spec.containers{c} Container image",
		"Warning InspectFailed spec.containers{c} Failed to apply default image tag",
		`Normal Pulling spec.containers{c} Pulling image "web:1"`,
		`Normal Pulled spec.containers{c} Successfully pulled image "web:1" in `,
		"Image size: 7 bytes.",
		`Normal Pulled spec.containers{c} Container image "web:1" already present on machine`,
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no event %q in\n%s", want, all)
		}
	}
}

// CVE-2019-11245: the image's user must be known on a restart too, when
// nothing is pulled, or the container runs as root the second time.
func TestUserIsKnownWithoutAPull(t *testing.T) {
	t.Parallel()
	f := newFake()
	m := New(Config{Service: f})
	for i := range 3 {
		res, err := m.Ensure(context.Background(), request("web:1", corev1.PullIfNotPresent))
		if err != nil || res.User.UID == nil || *res.User.UID != 1000 {
			t.Fatalf("attempt %d: %+v %v", i, res, err)
		}
	}
	if f.pulls != 1 {
		t.Errorf("%d pulls", f.pulls)
	}
}

func TestBackOffDoublesAndSaysWhy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f, rec := newFake(), &recorder{}
		m := New(Config{Service: f, Event: rec.event})
		ensure := func() error {
			_, err := m.Ensure(t.Context(), request("gone:1", ""))
			return err
		}
		cause := `rpc error: code = NotFound desc = failed to pull and unpack image "gone:1": not found`
		for _, delay := range []time.Duration{10, 20, 40, 80, 160, 300, 300} {
			delay *= time.Second
			wantError(t, ensure(), "ErrImagePull", cause)
			before := f.pulls
			time.Sleep(delay - time.Millisecond)
			wantError(t, ensure(), "ImagePullBackOff", `Back-off pulling image "gone:1": ErrImagePull: `+cause)
			if f.pulls != before {
				t.Fatalf("pulled during a back-off of %v", delay)
			}
			time.Sleep(time.Millisecond)
		}
		// Long after, it starts anew, and nothing old is kept.
		time.Sleep(time.Hour)
		ensure()
		if len(m.back.entries) != 1 || m.back.entries["u_gone:1"].delay != 10*time.Second {
			t.Errorf("entries: %+v", m.back.entries)
		}
	})
}

func TestReasonsOfTheRuntime(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ in, reason, msg string }{
		{"rpc error: code = Unavailable desc = RegistryUnavailable: down", "RegistryUnavailable", "image pull failed for i because the registry is unavailable: down"},
		{"SignatureValidationFailed: bad", "SignatureValidationFailed", "image pull failed for i because the signature validation failed: bad"},
		{"other", "ErrImagePull", "other"},
	} {
		wantError(t, pullError("i", errors.New(tc.in)), tc.reason, tc.msg)
	}
}

func TestPullsAreSerialOrBounded(t *testing.T) {
	t.Parallel()
	for limit, most := range map[int]int{1: 1, 3: 3, 0: 8} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.hold = time.Second
			m := New(Config{Service: f, MaxParallel: limit})
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					if _, err := m.Ensure(t.Context(), request("web:1", corev1.PullAlways)); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if f.most != most {
				t.Errorf("limit %d: %d at once", limit, f.most)
			}
		})
	}
}

func secretFor(host, user, pass string) *corev1.Secret {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + pass))
	return &corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{
		corev1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth),
	}}
}

func TestEachMatchingSecretIsTried(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.password = "right"
	m := New(Config{Service: f})
	r := request("reg.test/a/web:1", "")
	r.PullSecrets = []*corev1.Secret{secretFor("reg.test", "u", "wrong"), secretFor("reg.test/a", "u", "right"), secretFor("other.test", "u", "never")}
	if _, err := m.Ensure(context.Background(), r); err != nil {
		t.Fatal(err)
	}
	if f.pulls != 1 {
		t.Errorf("the most specific was not tried first: %d pulls", f.pulls)
	}
}

func TestTheNodesOwnCredentialsComeLast(t *testing.T) {
	t.Parallel()
	f := newFake()
	f.password = "node's"
	dir := t.TempDir()
	own := secretFor("reg.test", "u", "node's").Data[corev1.DockerConfigJsonKey]
	if err := os.WriteFile(dir+"/config.json", own, 0o600); err != nil {
		t.Fatal(err)
	}
	m := New(Config{Service: f, NodeConfigs: []string{dir + "/none.json", dir + "/config.json"}})
	r := request("reg.test/a/web:1", "")
	r.PullSecrets = []*corev1.Secret{secretFor("reg.test", "u", "pod's")}
	if _, err := m.Ensure(context.Background(), r); err != nil || f.pulls != 2 {
		t.Errorf("%d pulls, %v", f.pulls, err)
	}
}

func TestBrokenSecretIsSkippedAndNotQuoted(t *testing.T) {
	t.Parallel()
	var ring Keyring
	err := ring.AddSecret(&corev1.Secret{Type: corev1.SecretTypeDockerConfigJson, Data: map[string][]byte{corev1.DockerConfigJsonKey: []byte(`{"auths":{"a":{"auth":"hunter2`)}})
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

func TestKeyringMatching(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		loc, image string
		want       bool
	}{
		{"reg.test", "reg.test/a/b", true},
		{"https://reg.test/v2/", "reg.test/a/b", true},
		{"reg.test/a", "reg.test/a/b", true},
		{"reg.test/x", "reg.test/a/b", false},
		{"*.reg.test", "eu.reg.test/a", true},
		{"*.reg.test", "a.eu.reg.test/a", false},
		{"reg.test:5000", "reg.test:5000/a", true},
		{"reg.test:5000", "reg.test/a", false},
		{"reg.test", "reg.test:5000/a", false},
		{"https://index.docker.io/v1/", "docker.io/library/nginx", true},
		{"https://index.docker.io/v1/", "reg.test/nginx", false},
		{"docker.io", "docker.io/library/nginx", true},
	} {
		var ring Keyring
		if err := ring.AddSecret(secretFor(tc.loc, "u", "p")); err != nil {
			t.Fatal(err)
		}
		if got := len(ring.Lookup(tc.image)) == 1; got != tc.want {
			t.Errorf("%s for %s: %v", tc.loc, tc.image, got)
		}
	}
	// The old form.
	var ring Keyring
	if err := ring.AddSecret(&corev1.Secret{Type: corev1.SecretTypeDockercfg, Data: map[string][]byte{
		corev1.DockerConfigKey: []byte(`{"reg.test":{"username":"u","password":"p"}}`)}}); err != nil {
		t.Fatal(err)
	}
	if got := ring.Lookup("reg.test/a"); len(got) != 1 || got[0].Auth.Password != "p" {
		t.Errorf("dockercfg: %v", got)
	}
}

func FuzzKeyring(f *testing.F) {
	f.Add([]byte(`{"auths":{"a":{"auth":"YTpi"}}}`), "docker.io/a")
	f.Fuzz(func(t *testing.T, data []byte, image string) {
		var ring Keyring
		_ = ring.AddConfigJSON(data)
		ring.Lookup(image)
	})
}
