package dns

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/miekg/dns"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/record"

	"proa/apiserver/apitest"
	"proa/auth"
	"proa/controller/controllertest"
)

// TestFollow edits the ConfigMaps as users do, while a node answers by them.
func TestFollow(t *testing.T) {
	t.Parallel()
	env := apitest.Start(t)
	api, ctx := env.Admin, t.Context()
	maps := api.CoreV1().ConfigMaps(metav1.NamespaceSystem)
	write := func(name, key, text string) {
		t.Helper()
		m := &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{key: text}}
		if _, err := maps.Update(ctx, m, metav1.UpdateOptions{}); err == nil {
			return
		}
		if _, err := maps.Create(ctx, m, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	const corefile = ".:53 {\n hosts {\n 10.0.0.1 one.example\n fallthrough\n }\n import /etc/coredns/custom/*.override\n kubernetes cluster.local\n}\n"
	write(ConfigMap, CorefileKey, corefile)

	node := env.Clients(&auth.User{Name: "system:kube-proxy", Groups: []string{auth.GroupAuthenticated}})
	events := record.NewFakeRecorder(10)
	s, err := New(Config{
		Informers: informers.NewSharedInformerFactory(node, 0), Client: node, Events: events, Domain: "cluster.local", Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	running, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.follow.run(running) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	is := func(name, want string) {
		t.Helper()
		controllertest.Until(t, func() string {
			if got := told(s.reply(ctx, ask(name, dns.TypeA))); got != want {
				return name + ": " + got + ", want " + want
			}
			return ""
		})
	}
	is("one.example.", "A 10.0.0.1")
	write(custom, "a.override", "hosts two.example {\n 10.0.0.2 two.example\n}")
	is("two.example.", "A 10.0.0.2")
	write(ConfigMap, CorefileKey, strings.Replace(corefile, "10.0.0.1", "10.0.0.3", 1))
	is("one.example.", "A 10.0.0.3")

	// What cannot be used is told of, and changes nothing.
	write(ConfigMap, CorefileKey, ".:53 {\n nonsense\n}")
	controllertest.Until(t, func() string {
		select {
		case e := <-events.Events:
			if !strings.Contains(e, "Warning InvalidCorefile") || !strings.Contains(e, "line 2: nonsense: is not supported here") {
				t.Error(e)
			}
			return ""
		default:
			return "there is no event about a Corefile that cannot be used"
		}
	})
	is("one.example.", "A 10.0.0.3")
	write(ConfigMap, CorefileKey, corefile)
	is("one.example.", "A 10.0.0.1")

	if err := maps.Delete(ctx, ConfigMap, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	is("one.example.", "SERVFAIL") // by the default, nobody is asked for it here
}

// TestRun answers over the network, and ends.
func TestRun(t *testing.T) {
	t.Parallel()
	s := newServer(t)
	packets, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.serve(ctx, packets, listener) }()
	client := dns.Client{}
	in, _, err := client.Exchange(ask("web.shop.svc.cluster.local.", dns.TypeA), packets.LocalAddr().String())
	if err != nil || told(in) != "A 10.43.0.7" {
		t.Errorf("%v %v", in, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
