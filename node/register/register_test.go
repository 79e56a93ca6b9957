package register_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"proa/node/register"
)

func machine() register.Machine {
	return register.Machine{Hostname: "host", CPUs: 2, MemoryBytes: 4 << 30, DiskBytes: 100 << 30, OS: "linux", Arch: "amd64", HugePages: map[string]int64{"hugepages-2Mi": 512 << 20}}
}

func config() register.Config {
	return register.Config{
		NodeName: "n1", MaxPods: 110, KubeletPort: 10250, Version: "v1.36.3+proa-test", Labels: map[string]string{"tier": "a"},
		Addresses: []v1.NodeAddress{{Type: v1.NodeInternalIP, Address: "192.0.2.1"}, {Type: v1.NodeHostName, Address: "host"}},
		Reserved:  v1.ResourceList{v1.ResourceMemory: resource.MustParse("100Mi")},
	}
}

func TestResources(t *testing.T) {
	t.Parallel()
	capacity, allocatable := register.Resources(machine(), config())
	for name, want := range map[v1.ResourceName]string{"cpu": "2", "memory": "4Gi", "pods": "110", "ephemeral-storage": "100Gi", "hugepages-2Mi": "512Mi"} {
		if got := capacity[name]; got.Cmp(resource.MustParse(want)) != 0 {
			t.Errorf("capacity of %s is %s, want %s", name, &got, want)
		}
	}
	if got, want := allocatable[v1.ResourceMemory], resource.MustParse("3484Mi"); got.Cmp(want) != 0 {
		t.Errorf("allocatable memory %s, want %s", &got, &want)
	}
}

func TestReadMachine(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for path, text := range map[string]string{
		"proc/meminfo":                   "MemTotal:  2048 kB\nMemFree: 1024 kB\nInactive(file): 512 kB\nSwapTotal: 0 kB\n",
		"proc/sys/kernel/hostname":       "Host\n",
		"proc/sys/kernel/random/boot_id": "boot\n",
		"etc/machine-id":                 "machine\n",
		"etc/os-release":                 "NAME=x\nPRETTY_NAME=\"Debian 12\"\n",
		"sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "3\n",
	} {
		file := filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	m, err := register.ReadMachine(root, root)
	if err != nil {
		t.Fatal(err)
	}
	if m.Hostname != "host" || m.MemoryBytes != 2<<20 || m.BootID != "boot" || m.MachineID != "machine" || m.SystemUUID != "machine" ||
		m.OSImage != "Debian 12" || m.HugePages["hugepages-2Mi"] != 6<<20 || m.DiskBytes == 0 {
		t.Errorf("%+v", m)
	}
	if n, err := register.AvailableMemory(root); err != nil || n != 1536<<10 {
		t.Errorf("available %d %v", n, err)
	}
	if _, err := register.ReadMachine(t.TempDir(), root); err == nil {
		t.Error("a machine without memory is accepted")
	}
}

func TestRegistrarWritesRarely(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := fake.NewClientset()
		var mu sync.Mutex
		problems := "container runtime network not ready"
		r := &register.Registrar{
			Client: client, Config: config(), Machine: machine(), Register: true,
			Runtime: func(context.Context) register.Runtime {
				mu.Lock()
				defer mu.Unlock()
				return register.Runtime{Version: "containerd://2.3.7", Problems: problems}
			},
			Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		}
		ctx, cancel := context.WithCancel(context.Background())
		var wg sync.WaitGroup
		wg.Go(func() { r.Run(ctx) })
		defer wg.Wait()
		defer cancel()
		writes := func() int {
			n := 0
			for _, a := range client.Actions() {
				switch a.GetVerb() {
				case "create", "update", "patch":
					n++
				}
			}
			return n
		}
		ready := func() v1.ConditionStatus {
			n, err := client.CoreV1().Nodes().Get(ctx, "n1", metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range n.Status.Conditions {
				if c.Type == v1.NodeReady {
					return c.Status
				}
			}
			return ""
		}
		synctest.Wait()
		if writes() != 1 || ready() != v1.ConditionFalse {
			t.Errorf("at first: %d writes, ready %s", writes(), ready())
		}
		mu.Lock()
		problems = ""
		mu.Unlock()
		time.Sleep(time.Second)
		synctest.Wait()
		if writes() != 2 || ready() != v1.ConditionTrue {
			t.Errorf("not ready soon: %d writes, ready %s", writes(), ready())
		}
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		if writes() != 2 {
			t.Errorf("%d writes though nothing changed", writes())
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if writes() != 3 {
			t.Errorf("%d writes after the report interval", writes())
		}
		// The node is deleted under its feet and comes back.
		if err := client.CoreV1().Nodes().Delete(ctx, "n1", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
		synctest.Wait()
		if ready() != v1.ConditionTrue {
			t.Error("a deleted node does not come back")
		}
		// It was cut off, and given up meanwhile.
		lost, err := client.CoreV1().Nodes().Get(ctx, "n1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for i := range lost.Status.Conditions {
			lost.Status.Conditions[i].Status = v1.ConditionUnknown
		}
		if _, err := client.CoreV1().Nodes().UpdateStatus(ctx, lost, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if ready() != v1.ConditionTrue {
			t.Error("a node that was given up does not say that it lives")
		}
	})
}

// The node that a former run has left says Ready, until this run knows better.
func TestReadyIsOfThisRun(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"same status", "another status"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client := fake.NewClientset()
				problems := make(chan string, 1)
				problems <- ""
				run := func(ready func()) (stop func()) {
					r := &register.Registrar{
						Client: client, Config: config(), Machine: machine(), Register: true, Ready: ready,
						Runtime: func(context.Context) register.Runtime {
							p := <-problems
							problems <- p
							return register.Runtime{Version: "containerd://2.3.7", Problems: p}
						},
						Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
					}
					ctx, cancel := context.WithCancel(context.Background())
					done := make(chan struct{})
					go func() { r.Run(ctx); close(done) }()
					return func() { cancel(); <-done }
				}
				run(nil)()
				stop := run(nil)
				synctest.Wait()
				stop()
				if name == "another status" {
					<-problems
					problems <- "the runtime starts"
				}
				ready := 0
				defer run(func() { ready++ })()
				synctest.Wait()
				if name == "same status" {
					if ready != 1 {
						t.Errorf("a node that is ready as it was: told %d times", ready)
					}
					return
				}
				if ready != 0 {
					t.Error("ready by what the former run has left")
				}
				<-problems
				problems <- ""
				time.Sleep(time.Minute)
				synctest.Wait()
				if ready != 1 {
					t.Errorf("told %d times", ready)
				}
			})
		})
	}
}
