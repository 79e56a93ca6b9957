package routes

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func node(name, address string, age int, cidrs ...string) *v1.Node {
	return &v1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: metav1.NewTime(time.Unix(int64(1000-age), 0))},
		Spec:       v1.NodeSpec{PodCIDRs: cidrs},
		Status:     v1.NodeStatus{Addresses: []v1.NodeAddress{{Type: v1.NodeHostName, Address: name}, {Type: v1.NodeInternalIP, Address: address}}},
	}
}

func show(routes []route) string {
	out := []string{}
	for _, r := range routes {
		out = append(out, fmt.Sprintf("{%s %s}", r.dst, r.via))
	}
	return fmt.Sprint(out)
}

func TestWanted(t *testing.T) {
	t.Parallel()
	cluster := []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")}
	for _, tt := range []struct {
		name  string
		nodes []*v1.Node
		want  string
	}{
		{"alone", []*v1.Node{node("self", "10.44.0.2", 9, "10.42.0.0/24")}, "[]"},
		{"two others", []*v1.Node{node("c", "10.44.0.4", 1, "10.42.2.0/24"), node("self", "10.44.0.2", 9, "10.42.0.0/24"), node("b", "10.44.0.3", 2, "10.42.1.0/24")},
			"[{10.42.1.0/24 10.44.0.3} {10.42.2.0/24 10.44.0.4}]"},
		{"without a range yet", []*v1.Node{node("b", "10.44.0.3", 2)}, "[]"},
		{"the older has it", []*v1.Node{node("b", "10.44.0.3", 1, "10.42.1.0/24"), node("c", "10.44.0.4", 5, "10.42.1.0/24")}, "[{10.42.1.0/24 10.44.0.4}]"},
		{"mine by another", []*v1.Node{node("b", "10.44.0.3", 1, "10.42.0.0/24"), node("self", "10.44.0.2", 5, "10.42.0.0/24")}, "[]"},
		// A node must not draw what is not its pods'.
		{"outside of the cluster", []*v1.Node{node("b", "10.44.0.3", 1, "0.0.0.0/0", "10.43.0.0/24", "10.0.0.0/8")}, "[]"},
		{"no address of use", []*v1.Node{node("b", "127.0.0.1", 1, "10.42.1.0/24"), node("c", "fd00::1", 1, "10.42.2.0/24"), node("d", "x", 1, "10.42.3.0/24")}, "[]"},
	} {
		if got := show(wanted("self", cluster, tt.nodes)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestDifference(t *testing.T) {
	t.Parallel()
	r := func(dst, via string) route { return route{netip.MustParsePrefix(dst), netip.MustParseAddr(via)} }
	want := []route{r("10.42.1.0/24", "10.44.0.3"), r("10.42.2.0/24", "10.44.0.4"), r("10.42.3.0/24", "10.44.0.5")}
	have := []route{r("10.42.1.0/24", "10.44.0.3"), r("10.42.2.0/24", "10.44.0.9"), r("10.42.9.0/24", "10.44.0.9")}
	set, remove := difference(want, have)
	if got := show(set) + " " + show(remove); got != "[{10.42.2.0/24 10.44.0.4} {10.42.3.0/24 10.44.0.5}] [{10.42.9.0/24 10.44.0.9}]" {
		t.Error(got)
	}
}
