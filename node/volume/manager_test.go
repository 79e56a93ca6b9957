package volume

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	authv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"
	testclock "k8s.io/utils/clock/testing"

	"proa/node/cri"
	"proa/node/volume/objects"
)

// env is a manager on a root of its own with an API of its own.
type env struct {
	*Manager
	client  *fake.Clientset
	objects *objects.Cache
	clock   *testclock.FakeClock
	root    string
	changed chan types.UID

	mu     sync.Mutex
	events []string
	tokens int
	reject error
}

func newEnv(t *testing.T, objs ...runtime.Object) *env {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root to mount")
	}
	e := &env{
		client: fake.NewClientset(objs...), root: t.TempDir(), changed: make(chan types.UID, 100),
		clock: testclock.NewFakeClock(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)),
	}
	e.client.PrependReactor("create", "serviceaccounts", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "token" {
			return false, nil, nil
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.reject != nil {
			return true, nil, e.reject
		}
		e.tokens++
		req := a.(clienttesting.CreateAction).GetObject().(*authv1.TokenRequest)
		req.Status.Token = fmt.Sprintf("token-%d", e.tokens)
		req.Status.ExpirationTimestamp = metav1.NewTime(e.clock.Now().Add(time.Duration(*req.Spec.ExpirationSeconds) * time.Second))
		return true, req, nil
	})
	ctx, cancel := context.WithCancel(context.Background())
	e.objects = objects.New(ctx, e.client, nil)
	e.Manager = e.restart(t)
	done := make(chan struct{})
	go func() { defer close(done); e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
		e.objects.Wait()
		if err := unmountBelow(e.root); err != nil {
			t.Error(err)
		}
	})
	return e
}

// restart makes a second manager with nothing remembered.
func (e *env) restart(t *testing.T) *Manager {
	m, err := New(Config{
		Root: e.root, Client: e.client, Objects: e.objects, Clock: e.clock,
		NodeName: "n1", Allocatable: corev1.ResourceList{"memory": resource.MustParse("1Gi"), "cpu": resource.MustParse("2")},
		Changed: func(uid types.UID) { e.changed <- uid },
		Event: func(_ *corev1.Pod, kind, reason, msg string) {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.events = append(e.events, kind+" "+reason+" "+msg)
		},
		Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// await waits until the file has the content, which an event must bring about.
func await(t *testing.T, path, want string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		b, _ := os.ReadFile(path)
		if string(b) == want {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("%s is %q, want %q", path, b, want)
		case <-time.After(2 * time.Millisecond):
		}
	}
}

func podWith(volumes ...corev1.Volume) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", UID: uuid.NewUUID(), Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{ServiceAccountName: "sa", Volumes: volumes, Containers: []corev1.Container{{Name: "c"}}},
	}
}

func vol(name string, src corev1.VolumeSource) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: src}
}

func configMap(name string, data map[string]string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: "cm", ResourceVersion: "1"}, Data: data}
}

func mustSetup(t *testing.T, m *Manager, pod *corev1.Pod) map[string]cri.Volume {
	t.Helper()
	got, err := m.Setup(t.Context(), pod)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func fileText(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestEmptyDirOnDiskAndInMemory(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	limit := resource.MustParse("1Mi")
	pod := podWith(
		vol("disk", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}),
		vol("mem", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{Medium: corev1.StorageMediumMemory, SizeLimit: &limit}}),
	)
	g := int64(4321)
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &g}
	got := mustSetup(t, e.Manager, pod)
	for _, name := range []string{"disk", "mem"} {
		want := filepath.Join(e.root, "pods", string(pod.UID), "volumes/kubernetes.io~empty-dir", name)
		if got[name].Path != want {
			t.Errorf("path %s, want %s", got[name].Path, want)
		}
		var st unix.Stat_t
		if err := unix.Stat(want, &st); err != nil || st.Mode&0o7777 != 0o2777 || st.Gid != 4321 {
			t.Errorf("%s: mode %o gid %d %v", name, st.Mode, st.Gid, err)
		}
	}
	var sfs unix.Statfs_t
	if err := unix.Statfs(got["mem"].Path, &sfs); err != nil || sfs.Type != unix.TMPFS_MAGIC || sfs.Blocks*uint64(sfs.Bsize) != 1<<20 {
		t.Errorf("tmpfs of %d bytes, type %x, %v", sfs.Blocks*uint64(sfs.Bsize), sfs.Type, err)
	}
	// What containers wrote, and the modes they set, stay: also when the agent
	// was killed and looks again.
	for _, m := range []*Manager{e.Manager, e.restart(t)} {
		f := filepath.Join(got["mem"].Path, "f")
		if err := os.WriteFile(f, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		mustSetup(t, m, pod)
		if st, err := os.Stat(f); err != nil || st.Mode() != 0o600 {
			t.Errorf("file after another setup: %v %v", st, err)
		}
	}
	if list, _ := mountsBelow(e.root); len(list) != 1 {
		t.Errorf("mounts: %v", list)
	}
	// Nobody remembers the pod, yet it goes.
	if err := e.restart(t).TearDown(t.Context(), pod.UID); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(e.root, "pods", string(pod.UID))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("pod directory: %v", err)
	}
	if list, _ := mountsBelow(e.root); len(list) != 0 {
		t.Errorf("mounts left: %v", list)
	}
	if err := e.TearDown(t.Context(), pod.UID); err != nil {
		t.Errorf("second tear-down: %v", err)
	}
}

// CVE-2017-1002102 and its kin: a container may leave links in its volumes;
// the agent's clean-up follows none of them.
func TestTearDownFollowsNoLink(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	victim := t.TempDir()
	if err := os.WriteFile(filepath.Join(victim, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	pod := podWith(vol("v", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}), vol("host", corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: victim}}))
	got := mustSetup(t, e.Manager, pod)
	if err := os.Symlink(victim, filepath.Join(got["v"].Path, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(got["v"].Path, "a/b/c"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../../../../../../..", filepath.Join(got["v"].Path, "a/b/up")); err != nil {
		t.Fatal(err)
	}
	if err := e.TearDown(t.Context(), pod.UID); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(victim, "precious")); err != nil {
		t.Errorf("gone with the pod: %v", err)
	}
	for _, bad := range []types.UID{"", "..", "a/b", "../x"} {
		if err := e.TearDown(t.Context(), bad); err == nil {
			t.Errorf("tear-down of %q", bad)
		}
	}
}

func TestConfigMapIsShownAndRefreshedByTheWatch(t *testing.T) {
	t.Parallel()
	e := newEnv(t, configMap("cfg", map[string]string{"a": "1", "b": "2"}))
	m := int32(0o400)
	pod := podWith(
		vol("all", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cfg"}}}),
		vol("some", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "cfg"},
			Items:                []corev1.KeyToPath{{Key: "a", Path: "deep/er/a", Mode: &m}},
		}}),
	)
	got := mustSetup(t, e.Manager, pod)
	if fileText(t, got["all"].Path+"/b") != "2" || !got["all"].ReadOnly {
		t.Error("b")
	}
	if fileText(t, got["some"].Path+"/deep/er/a") != "1" {
		t.Error("deep/er/a")
	}
	if st, _ := os.Stat(got["some"].Path + "/deep/er/a"); st.Mode() != 0o400 {
		t.Errorf("mode %v", st.Mode())
	}
	if st, _ := os.Stat(got["all"].Path + "/a"); st.Mode() != 0o644 {
		t.Errorf("default mode %v", st.Mode())
	}
	before, _ := os.Readlink(got["all"].Path + "/..data")
	mustSetup(t, e.Manager, pod)
	mustSetup(t, e.restart(t), pod)
	e.objects.OnChange(e.objectsChanged) // the restarted one took it over
	if after, _ := os.Readlink(got["all"].Path + "/..data"); after != before {
		t.Errorf("rewritten without a change: %s, %s", before, after)
	}
	cm := configMap("cfg", map[string]string{"a": "3", "c": "4"})
	cm.ResourceVersion = "2"
	if _, err := e.client.CoreV1().ConfigMaps("ns").Update(t.Context(), cm, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, got["all"].Path+"/c", "4")
	await(t, got["some"].Path+"/deep/er/a", "3")
	if _, err := os.Lstat(got["all"].Path + "/b"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("b is still there: %v", err)
	}
	if err := e.TearDown(t.Context(), pod.UID); err != nil {
		t.Fatal(err)
	}
	if e.objects.Len() != 0 {
		t.Errorf("%d watches left", e.objects.Len())
	}
}

func TestMissingObjectsAreNamedOptionalOnesAreNot(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	yes := true
	pod := podWith(
		vol("cfg", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "none"}}}),
		vol("opt", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "none", Optional: &yes}}),
	)
	for range 3 {
		_, err := e.Setup(t.Context(), pod)
		if want := `MountVolume.SetUp failed for volume "cfg" : configmap "none" not found`; err == nil || err.Error() != want {
			t.Fatalf("got %v\nwant %s", err, want)
		}
	}
	e.mu.Lock()
	if len(e.events) != 1 || e.events[0] != `Warning FailedMount MountVolume.SetUp failed for volume "cfg" : configmap "none" not found` {
		t.Errorf("events %q", e.events)
	}
	e.mu.Unlock()
	// Its appearance wakes the pod.
	if _, err := e.client.CoreV1().ConfigMaps("ns").Create(t.Context(), configMap("none", map[string]string{"k": "v"}), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	for {
		if <-e.changed != pod.UID {
			t.Fatal("another pod")
		}
		if got, err := e.Setup(t.Context(), pod); err == nil {
			if fileText(t, got["cfg"].Path+"/k") != "v" {
				t.Error("content")
			}
			break
		}
	}
}

func TestMissingKeys(t *testing.T) {
	t.Parallel()
	e := newEnv(t, configMap("cfg", nil), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "ns"}})
	for _, tc := range []struct {
		src  corev1.VolumeSource
		want string
	}{
		{corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "cfg"}, Items: []corev1.KeyToPath{{Key: "k", Path: "p"}}}},
			`MountVolume.SetUp failed for volume "v" : references non-existent config key: k`},
		{corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s", Items: []corev1.KeyToPath{{Key: "k", Path: "p"}}}},
			`MountVolume.SetUp failed for volume "v" : references non-existent secret key: k`},
	} {
		if _, err := e.Setup(t.Context(), podWith(vol("v", tc.src))); err == nil || err.Error() != tc.want {
			t.Errorf("got %v\nwant %s", err, tc.want)
		}
	}
}

func TestSecretsStayInMemoryWithTheGroup(t *testing.T) {
	t.Parallel()
	e := newEnv(t, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "ns"}, Data: map[string][]byte{"k": []byte("v")}})
	m := int32(0o400)
	pod := podWith(vol("s", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s", DefaultMode: &m}}))
	g := int64(4321)
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{FSGroup: &g}
	got := mustSetup(t, e.Manager, pod)
	var sfs unix.Statfs_t
	if err := unix.Statfs(got["s"].Path, &sfs); err != nil || sfs.Type != unix.TMPFS_MAGIC {
		t.Errorf("type %x %v", sfs.Type, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(got["s"].Path+"/k", &st); err != nil || st.Mode&0o777 != 0o440 || st.Gid != 4321 {
		t.Errorf("mode %o gid %d %v", st.Mode, st.Gid, err)
	}
}

func TestDownwardAPIFollowsThePod(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	pod := podWith(vol("d", corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{
		{Path: "labels", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels"}},
		{Path: "app", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.labels['app']"}},
		{Path: "mem", ResourceFieldRef: &corev1.ResourceFieldSelector{ContainerName: "c", Resource: "limits.memory", Divisor: resource.MustParse("1Mi")}},
	}}}))
	got := mustSetup(t, e.Manager, pod)
	if c := fileText(t, got["d"].Path+"/labels"); c != `app="web"` {
		t.Errorf("labels %q", c)
	}
	if c := fileText(t, got["d"].Path+"/mem"); c != "1024" {
		t.Errorf("memory %q", c)
	}
	newer := pod.DeepCopy()
	newer.Labels["app"] = "db"
	mustSetup(t, e.Manager, newer)
	if c := fileText(t, got["d"].Path+"/app"); c != "db" {
		t.Errorf("label after a change: %q", c)
	}
}

func apiAccess(audience string) corev1.Volume {
	sec := int64(3600)
	return vol("api", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token", ExpirationSeconds: &sec, Audience: audience}},
		{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
		{DownwardAPI: &corev1.DownwardAPIProjection{Items: []corev1.DownwardAPIVolumeFile{{Path: "namespace", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"}}}}},
	}}})
}

func TestProjectedTokenIsRenewedBeforeItEnds(t *testing.T) {
	t.Parallel()
	e := newEnv(t, configMap("kube-root-ca.crt", map[string]string{"ca.crt": "CA"}))
	pod := podWith(apiAccess(""))
	got := mustSetup(t, e.Manager, pod)
	dir := got["api"].Path
	if want := filepath.Join(e.root, "pods", string(pod.UID), "volumes/kubernetes.io~projected/api"); dir != want {
		t.Errorf("path %s", dir)
	}
	if fileText(t, dir+"/token") != "token-1" || fileText(t, dir+"/ca.crt") != "CA" || fileText(t, dir+"/namespace") != "ns" {
		t.Error("content")
	}
	mustSetup(t, e.Manager, pod)
	if e.tokens != 1 {
		t.Errorf("%d tokens", e.tokens)
	}
	// At 80 % of its life, without anybody calling.
	e.clock.Step(47 * time.Minute)
	if fileText(t, dir+"/token") != "token-1" {
		t.Error("renewed too early")
	}
	e.clock.Step(time.Minute)
	await(t, dir+"/token", "token-2")
	// A renewal that fails keeps the old one while it holds.
	e.mu.Lock()
	e.reject = errors.New("down")
	e.mu.Unlock()
	e.clock.Step(49 * time.Minute)
	mustSetup(t, e.Manager, pod)
	if fileText(t, dir+"/token") != "token-2" {
		t.Error("lost the old token")
	}
	e.mu.Lock()
	e.reject = nil
	e.mu.Unlock()
	e.clock.Step(tokenRetry + time.Second)
	await(t, dir+"/token", "token-3")
}

func TestTokenIsOnlyForWhoReadsIt(t *testing.T) {
	t.Parallel()
	e := newEnv(t, configMap("kube-root-ca.crt", map[string]string{"ca.crt": "CA"}))
	uid := int64(1234)
	pod := podWith(apiAccess("x"))
	pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsUser: &uid}
	got := mustSetup(t, e.Manager, pod)
	var st unix.Stat_t
	if err := unix.Stat(got["api"].Path+"/token", &st); err != nil || st.Mode&0o777 != 0o600 || st.Uid != 1234 {
		t.Errorf("mode %o uid %d %v", st.Mode, st.Uid, err)
	}
}

func TestAnAgentWithoutItsAPIServerKeepsWhatIsOnDisk(t *testing.T) {
	t.Parallel()
	e := newEnv(t, configMap("kube-root-ca.crt", map[string]string{"ca.crt": "CA"}))
	pod := podWith(apiAccess(""))
	dir := mustSetup(t, e.Manager, pod)["api"].Path
	e.mu.Lock()
	e.reject = errors.New("connection refused")
	e.mu.Unlock()
	got, err := e.restart(t).Setup(t.Context(), pod)
	if err != nil || got["api"].Path != dir || fileText(t, dir+"/token") != "token-1" {
		t.Errorf("%v %v", got, err)
	}
	other := podWith(apiAccess(""))
	if _, err := e.Setup(t.Context(), other); err == nil || !strings.Contains(err.Error(), "failed to fetch token: connection refused") {
		t.Errorf("a new pod: %v", err)
	}
}

func TestRenewAt(t *testing.T) {
	t.Parallel()
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for life, want := range map[time.Duration]time.Duration{
		time.Hour:            48*time.Minute - time.Second,
		10 * time.Minute:     8*time.Minute - time.Second,
		365 * 24 * time.Hour: 24*time.Hour - time.Second,
	} {
		if got := renewAt(t0.Add(life), life, time.Second).Sub(t0); got != want {
			t.Errorf("life %v: after %v, want %v", life, got, want)
		}
	}
}

func TestHostPathTypes(t *testing.T) {
	t.Parallel()
	d := t.TempDir()
	file := filepath.Join(d, "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		path string
		kind corev1.HostPathType
		err  string
	}{
		{d, corev1.HostPathDirectory, ""},
		{file, corev1.HostPathDirectory, "is not a directory"},
		{d + "/none", corev1.HostPathDirectory, "is not a directory"},
		{file, corev1.HostPathFile, ""},
		{d, corev1.HostPathFile, "is not a file"},
		{d + "/made/deep", corev1.HostPathDirectoryOrCreate, ""},
		{d + "/made/file", corev1.HostPathFileOrCreate, ""},
		{file, corev1.HostPathSocket, "is not a socket file"},
		{"/dev/null", corev1.HostPathCharDev, ""},
		{"/dev/null", corev1.HostPathBlockDev, "is not a block device"},
		{d + "/none", corev1.HostPathUnset, ""},
		{d, "Nonsense", "is an invalid volume type"},
	} {
		err := checkHostPath(tc.path, tc.kind)
		if tc.err == "" && err != nil || tc.err != "" && (err == nil || !strings.HasSuffix(err.Error(), tc.err)) {
			t.Errorf("%s as %q: %v, want %q", tc.path, tc.kind, err, tc.err)
		}
	}
}

func TestClaims(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	pvc := func(name, pv string) *corev1.PersistentVolumeClaim {
		return &corev1.PersistentVolumeClaim{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", UID: types.UID("uid-" + name)},
			Spec:       corev1.PersistentVolumeClaimSpec{VolumeName: pv}, Status: corev1.PersistentVolumeClaimStatus{Phase: corev1.ClaimBound},
		}
	}
	pv := func(name, claim string, src corev1.PersistentVolumeSource) *corev1.PersistentVolume {
		return &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeSpec{
			PersistentVolumeSource: src, ClaimRef: &corev1.ObjectReference{UID: types.UID("uid-" + claim)}}}
	}
	pending := pvc("pending", "")
	pending.Status.Phase = corev1.ClaimPending
	e := newEnv(t, pvc("host", "pv-host"), pv("pv-host", "host", corev1.PersistentVolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: data}}),
		pvc("local", "pv-local"), pv("pv-local", "local", corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: data}}),
		pvc("csi", "pv-csi"), pv("pv-csi", "csi", corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{Driver: "d"}}),
		pvc("stolen", "pv-host"), pending)
	claim := func(name string) corev1.Volume {
		return vol("v", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name}})
	}
	if got := mustSetup(t, e.Manager, podWith(claim("host"))); got["v"].Path != data {
		t.Errorf("host: %+v", got)
	}
	pod := podWith(claim("local"))
	got := mustSetup(t, e.Manager, pod)
	if want := filepath.Join(e.root, "pods", string(pod.UID), "volumes/kubernetes.io~local-volume/pv-local"); got["v"].Path != want {
		t.Errorf("local: %+v", got)
	}
	if err := os.WriteFile(got["v"].Path+"/f", []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	calls := len(e.client.Actions())
	mustSetup(t, e.Manager, pod)
	if n := len(e.client.Actions()); n != calls {
		t.Errorf("%d more calls for a volume that is there", n-calls)
	}
	if err := e.TearDown(t.Context(), pod.UID); err != nil {
		t.Fatal(err)
	}
	if fileText(t, data+"/f") != "kept" {
		t.Error("data lost")
	}
	for name, want := range map[string]string{
		"pending": "PVC is not bound",
		"none":    `failed to fetch PVC from API server: persistentvolumeclaims "none" not found`,
		"csi":     "CSI volumes are not supported by this node agent",
		"stolen":  "PV pv-host is bound to another claim",
	} {
		if _, err := e.Setup(t.Context(), podWith(claim(name))); err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOrphansAreFoundOnDisk(t *testing.T) {
	t.Parallel()
	e := newEnv(t)
	known, lost := podWith(vol("v", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}})), podWith(vol("v", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}))
	mustSetup(t, e.Manager, known)
	mustSetup(t, e.Manager, lost)
	got, err := e.restart(t).Orphans(func(u types.UID) bool { return u == known.UID })
	if err != nil || len(got) != 1 || got[0] != lost.UID {
		t.Errorf("%v %v", got, err)
	}
}
