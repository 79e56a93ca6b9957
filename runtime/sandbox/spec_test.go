package sandbox

import (
	"strings"
	"testing"
)

func TestSysctlPath(t *testing.T) {
	t.Parallel()
	own := Spec{Root: "/r", NetNS: "/n"}
	host := Spec{Root: "/r", HostIPC: true}
	for _, tt := range []struct {
		spec Spec
		name string
		want string
	}{
		{own, "net.ipv4.ip_unprivileged_port_start", "/proc/sys/net/ipv4/ip_unprivileged_port_start"},
		{own, "net/ipv4/conf/eth0.100/forwarding", "/proc/sys/net/ipv4/conf/eth0.100/forwarding"},
		{own, "net.ipv4.conf.eth0/100.forwarding", "/proc/sys/net/ipv4/conf/eth0.100/forwarding"},
		{own, "kernel.shmmax", "/proc/sys/kernel/shmmax"},
		{own, "fs.mqueue.msg_max", "/proc/sys/fs/mqueue/msg_max"},
		{own, "kernel.domainname", "/proc/sys/kernel/domainname"},
		{own, "kernel.hostname", ""},
		{own, "kernel.core_pattern", ""},
		{own, "vm.swappiness", ""},
		{own, "net/../kernel/core_pattern", ""},
		{own, "net/./ipv4/ip_forward", ""},
		{own, "/net/ipv4/ip_forward", ""},
		{own, "net.ipv4.", ""},
		{own, "", ""},
		{host, "net.ipv4.ip_forward", ""},
		{host, "kernel.shmmax", ""},
		{host, "fs.mqueue.msg_max", ""},
		{host, "kernel.domainname", ""},
	} {
		got, err := tt.spec.SysctlPath(tt.name)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%q: %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	err := Spec{Root: "r", Sysctls: map[string]string{"vm.swappiness": "1"}}.Validate()
	for _, want := range []string{"not an absolute path", "vm.swappiness"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
