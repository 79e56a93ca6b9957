package images

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"proa/test/conformance/programs"
)

// maker makes the layers by name.
type maker struct {
	ctx    context.Context
	build  *programs.Builder
	pause  string
	images string // upstream's directory of images
}

func makeLayers(ctx context.Context, b *programs.Builder, pause string) (map[string]v1.Layer, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes")
	cmd.Dir = b.Module()
	dir, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("find the sources of the suite: %w", err)
	}
	m := &maker{ctx: ctx, build: b, pause: pause, images: filepath.Join(strings.TrimSpace(string(dir)), "test", "images")}
	out := map[string]v1.Layer{}
	for n, fill := range map[string]func(*layer){
		"busybox":           m.busybox,
		"tools":             m.debs("tools", "bash", "bind9-dnsutils", "curl", "iperf", "iproute2", "libc-bin", "netcat-openbsd", "util-linux"),
		"dnsutils":          m.debs("dnsutils", "bind9-dnsutils"),
		"agnhost":           m.agnhost,
		"kitten":            m.page("kitten"),
		"nautilus":          m.page("nautilus"),
		"nginx":             m.nginx,
		"pause":             func(l *layer) { l.file("pause", m.pause, 0o755) },
		"debian":            m.debian,
		"nonewprivs":        func(l *layer) { m.program(l, "usr/local/bin/nnp", programs.NoNewPrivs, 0o6755) },
		"resource-consumer": m.resourceConsumer,
		"sample-apiserver":  func(l *layer) { m.program(l, "sample-apiserver", programs.SampleAPIServer, 0o755) },
		"etcd":              func(l *layer) { m.program(l, "usr/local/bin/etcd", programs.Etcd, 0o755) },
	} {
		l := newLayer()
		fill(l)
		if out[n], err = l.done(); err != nil {
			return nil, fmt.Errorf("layer %s: %w", n, err)
		}
	}
	return out, nil
}

func (m *maker) program(l *layer, name string, p programs.Program, mode int64) {
	path, err := m.build.Build(m.ctx, p)
	if err != nil {
		l.err = err
		return
	}
	l.file(name, path, mode)
}

// debs is a layer of packages.
func (m *maker) debs(name string, packages ...string) func(*layer) {
	return func(l *layer) {
		files, err := download(m.ctx, filepath.Join(m.build.Dir(), "debian"), name, packages...)
		if err != nil {
			l.err = err
			return
		}
		l.packages(files)
	}
}

// busybox is what the image of that name has, and Alpine as far as it is used.
func (m *maker) busybox(l *layer) {
	busybox, err := buildBusybox(m.ctx, m.build.Dir())
	if err != nil {
		l.err = err
		return
	}
	out, err := exec.CommandContext(m.ctx, busybox, "--list").Output()
	if err != nil {
		l.err = fmt.Errorf("list the applets of %s: %w", busybox, err)
		return
	}
	for _, d := range []string{"bin", "dev", "etc", "home", "lib", "lib64", "proc", "sbin", "sys", "usr", "usr/bin", "usr/local", "usr/local/bin", "usr/sbin", "var", "var/spool"} {
		l.dir(d, 0o755)
	}
	l.dir("root", 0o700)
	l.dir("tmp", 0o1777)
	l.dir("run", 0o755)
	l.file("bin/busybox", busybox, 0o755)
	for _, applet := range strings.Fields(string(out)) {
		if applet != "busybox" {
			l.link("bin/"+applet, "busybox")
		}
	}
	l.link("usr/bin/env", "../../bin/env")
	l.text("etc/passwd", passwd)
	l.text("etc/group", group)
	l.text("etc/nsswitch.conf", "hosts: files dns\n")
}

// The accounts of Debian's and Alpine's images that tests name.
const (
	passwd = "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nbin:x:2:2:bin:/bin:/bin/false\n" +
		"www-data:x:33:33:www-data:/var/www:/bin/false\nnginx:x:101:101:nginx:/nonexistent:/bin/false\n" +
		"operator:x:37:37:Operator:/var:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n"
	group = "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nmail:x:8:\nwww-data:x:33:\n" +
		"operator:x:37:\nusers:x:100:\nnginx:x:101:\nnogroup:x:65534:\n"
)

// osRelease is the name of the system that upstream's image is built on, by which
// a test knows it, and says what is built here.
const osRelease = `NAME="Alpine Linux"
ID=alpine
PRETTY_NAME="Alpine Linux (a likeness for the conformance tests, of busybox and Debian's packages)"
`

func (m *maker) agnhost(l *layer) {
	l.text("etc/os-release", osRelease)
	l.dir("uploads", 0o755)
	l.text("etc/passwd", passwd+"user-defined-in-image:x:1000:1000::/home/user-defined-in-image:/bin/sh\n")
	l.text("etc/group", group+"user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n")
	l.dir("home/user-defined-in-image", 0o755)
	for _, f := range []string{"localhost.crt", "localhost.key"} {
		l.file(f, filepath.Join(m.images, "agnhost", "porter", f), 0o644)
	}
	m.program(l, "agnhost", programs.Agnhost, 0o755)
	l.link("agnhost-2", "agnhost")
	l.dir("usr/local/bin", 0o755)
	l.link("usr/local/bin/iperf", "/usr/bin/iperf")
	// Debian chooses one nc of several when it installs them, which nobody does
	// here; busybox's does not know the options that tests use.
	l.link("usr/local/bin/nc", "/bin/nc.openbsd")
}

// page is what the update demo shows.
func (m *maker) page(name string) func(*layer) {
	return func(l *layer) { l.tree("", os.DirFS(filepath.Join(m.images, name, "html"))) }
}

const nginxConf = `user nginx;
worker_processes 1;
error_log /dev/stderr notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  access_log /dev/stdout;
  sendfile on;
  keepalive_timeout 65;
  server {
    listen 80;
    server_name localhost;
    location / { root /usr/share/nginx/html; index index.html index.htm; }
  }
}
`

func (m *maker) nginx(l *layer) {
	m.debs("nginx", "nginx")(l)
	l.text("etc/nginx/nginx.conf", nginxConf)
	for _, d := range []string{"var/log", "var/log/nginx", "var/lib", "var/lib/nginx", "usr/share/nginx", "usr/share/nginx/html"} {
		l.dir(d, 0o755)
	}
	l.text("usr/share/nginx/html/index.html", "<!DOCTYPE html>\n<html>\n<head><title>Welcome to nginx!</title></head>\n<body><h1>Welcome to nginx!</h1></body>\n</html>\n")
}

// debian is a small Debian, of packages that nobody has configured.
func (m *maker) debian(l *layer) {
	m.debs("debian", "base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "findutils", "grep", "hostname", "libc-bin", "mawk", "sed", "util-linux")(l)
	l.link("bin/sh", "dash")
	l.text("etc/passwd", passwd)
	l.text("etc/group", group)
	l.text("etc/nsswitch.conf", "hosts: files dns\n")
}

func (m *maker) resourceConsumer(l *layer) {
	m.debs("stress", "stress")(l)
	m.program(l, "consumer", programs.ResourceConsumer, 0o755)
	m.program(l, "consume-cpu", programs.ConsumeCPU, 0o755)
}
