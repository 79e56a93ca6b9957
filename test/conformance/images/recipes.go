package images

import (
	v1 "github.com/google/go-containerregistry/pkg/v1"
	imageutils "k8s.io/kubernetes/test/utils/image"
)

// revision changes when the same programs make other images.
const revision = "4"

// recipe is one image: its layers from the bottom up, and how it is run.
type recipe struct {
	id     imageutils.ImageID
	layers []string
	config v1.Config
}

var searchPath = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}

func ports(list ...string) map[string]struct{} {
	m := map[string]struct{}{}
	for _, p := range list {
		m[p+"/tcp"] = struct{}{}
	}
	return m
}

// agnhost is a recipe on top of agnhost.
func agnhost(id imageutils.ImageID, cmd string, more ...string) recipe {
	return recipe{id: id, layers: append([]string{"busybox", "tools", "agnhost"}, more...), config: v1.Config{
		Entrypoint: []string{"/agnhost"}, Cmd: []string{cmd}, Env: searchPath, ExposedPorts: ports("80", "8080", "8081", "9376", "5000"),
	}}
}

func webServer(id imageutils.ImageID) recipe {
	return recipe{id: id, layers: []string{"busybox", "nginx"}, config: v1.Config{
		Cmd: []string{"nginx", "-g", "daemon off;"}, Env: searchPath, ExposedPorts: ports("80"), StopSignal: "SIGQUIT",
	}}
}

// recipes are all images.
var recipes = []recipe{
	agnhost(imageutils.Agnhost, "pause"),
	agnhost(imageutils.AgnhostPrev, "pause"),
	agnhost(imageutils.Kitten, "test-webserver", "kitten"),
	agnhost(imageutils.Nautilus, "test-webserver", "nautilus"),
	webServer(imageutils.Nginx),
	webServer(imageutils.NginxNew),
	{id: imageutils.BusyBox, layers: []string{"busybox"}, config: v1.Config{Cmd: []string{"sh"}, Env: searchPath}},
	{id: imageutils.Pause, layers: []string{"pause"}, config: v1.Config{Entrypoint: []string{"/pause"}, User: "65535:65535", WorkingDir: "/", Env: searchPath}},
	{id: imageutils.NonRoot, layers: []string{"debian"}, config: v1.Config{Cmd: []string{"bash"}, User: "1234", Env: searchPath}},
	{id: imageutils.Nonewprivs, layers: []string{"busybox", "nonewprivs"}, config: v1.Config{Cmd: []string{"nnp"}, Env: searchPath}},
	{id: imageutils.GlibcDnsTesting, layers: []string{"debian", "dnsutils"}, config: v1.Config{Cmd: []string{"bash"}, Env: searchPath}},
	{id: imageutils.ResourceConsumer, layers: []string{"debian", "resource-consumer"}, config: v1.Config{Entrypoint: []string{"/consumer"}, Env: searchPath, ExposedPorts: ports("8080")}},
	{id: imageutils.APIServer, layers: []string{"busybox", "sample-apiserver"}, config: v1.Config{Entrypoint: []string{"/sample-apiserver"}, Env: searchPath}},
	{id: imageutils.Etcd, layers: []string{"busybox", "etcd"}, config: v1.Config{Env: searchPath, WorkingDir: "/", ExposedPorts: ports("2379", "2380")}},
}
