package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	nodecri "proa/node/cri"
)

// streams says which of a process's streams a client wants.
type streams struct{ stdin, stdout, stderr, tty bool }

func streamsOf(q url.Values) (streams, error) {
	is := func(name string) bool { return q.Get(name) == "1" || q.Get(name) == "true" }
	s := streams{stdin: is("input"), stdout: is("output"), stderr: is("error"), tty: is("tty")}
	if s.tty {
		s.stderr = false // a terminal has one output
	}
	if !s.stdin && !s.stdout && !s.stderr {
		return s, errors.New("you must specify at least 1 of stdin, stdout, stderr")
	}
	return s, nil
}

func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	st, err := streamsOf(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pod, ok := s.findPod(w, r)
	if !ok {
		return
	}
	id, err := s.runningContainer(r.Context(), pod, r.PathValue("container"))
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	res, err := s.cfg.Runtime.Exec(r.Context(), &runtimeapi.ExecRequest{
		ContainerId: id, Cmd: r.URL.Query()["command"], Tty: st.tty, Stdin: st.stdin, Stdout: st.stdout, Stderr: st.stderr,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.stream(w, r, res.GetUrl(), st)
}

func (s *Server) attach(w http.ResponseWriter, r *http.Request) {
	st, err := streamsOf(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pod, ok := s.findPod(w, r)
	if !ok {
		return
	}
	name := r.PathValue("container")
	spec := nodecri.FindContainer(pod, name)
	id, err := s.runningContainer(r.Context(), pod, name)
	if err != nil || spec == nil {
		http.Error(w, fmt.Sprintf("container %s not found in pod %s", name, nodecri.PodString(pod)), http.StatusNotFound)
		return
	}
	// A terminal is the container's, not the client's, to choose.
	if st.tty = spec.TTY; st.tty {
		st.stderr = false
	}
	res, err := s.cfg.Runtime.Attach(r.Context(), &runtimeapi.AttachRequest{
		ContainerId: id, Tty: st.tty, Stdin: st.stdin, Stdout: st.stdout, Stderr: st.stderr,
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	s.stream(w, r, res.GetUrl(), st)
}

// stream joins the client to where the runtime serves its process.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, runtimeURL string, st streams) {
	to, err := url.Parse(runtimeURL)
	if err != nil {
		http.Error(w, fmt.Sprintf("the runtime gave no usable URL: %v", err), http.StatusInternalServerError)
		return
	}
	if wantsV5(r) {
		s.translate(w, r, to, st)
		return
	}
	s.join(w, r, to)
}

func (s *Server) portForward(w http.ResponseWriter, r *http.Request) {
	ports, err := portsOf(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	pod, ok := s.findPod(w, r)
	if !ok {
		return
	}
	id, err := s.readySandbox(r.Context(), pod)
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	res, err := s.cfg.Runtime.PortForward(r.Context(), &runtimeapi.PortForwardRequest{PodSandboxId: id, Port: ports})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	to, err := url.Parse(res.GetUrl())
	if err != nil {
		http.Error(w, fmt.Sprintf("the runtime gave no usable URL: %v", err), http.StatusInternalServerError)
		return
	}
	if wantsTunnel(r) {
		s.tunnel(w, r, to)
		return
	}
	s.join(w, r, to)
}

// portsOf reads the ports that a client names beforehand, which WebSocket
// clients of the old protocol must.
func portsOf(r *http.Request) ([]int32, error) {
	if !isWebSocket(r) || wantsTunnel(r) {
		return nil, nil
	}
	values := r.URL.Query()["port"]
	if len(values) == 0 {
		return nil, errors.New(`query parameter "port" is required`)
	}
	var out []int32
	for _, v := range values {
		for p := range strings.SplitSeq(v, ",") {
			n, err := strconv.ParseUint(p, 10, 16)
			if err != nil || n == 0 {
				return nil, fmt.Errorf("unable to parse %q as a port: must be between 1 and 65535", p)
			}
			out = append(out, int32(n))
		}
	}
	return out, nil
}

// run executes a command to its end and returns what it wrote.
func (s *Server) run(w http.ResponseWriter, r *http.Request) {
	pod, ok := s.findPod(w, r)
	if !ok {
		return
	}
	id, err := s.runningContainer(r.Context(), pod, r.PathValue("container"))
	if err != nil {
		http.Error(w, err.Error(), statusOf(err))
		return
	}
	stdout, stderr, err := s.cfg.Runtime.ExecSync(r.Context(), id, strings.Split(r.FormValue("cmd"), " "), 0)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = w.Write(append(stdout, stderr...))
}

// notFound is an error that answers 404.
type notFound string

func (e notFound) Error() string { return string(e) }

func statusOf(err error) int {
	var nf notFound
	if errors.As(err, &nf) {
		return http.StatusNotFound
	}
	return http.StatusInternalServerError
}

// runningContainer asks the runtime for the running container of that name.
func (s *Server) runningContainer(ctx context.Context, pod *corev1.Pod, name string) (string, error) {
	list, err := s.cfg.Runtime.ListContainers(ctx, &runtimeapi.ContainerFilter{
		State:         &runtimeapi.ContainerStateValue{State: runtimeapi.ContainerState_CONTAINER_RUNNING},
		LabelSelector: map[string]string{nodecri.LabelPodUID: string(pod.UID), nodecri.LabelContainerName: name},
	})
	if err != nil {
		return "", err
	}
	var newest *runtimeapi.Container
	for _, c := range list {
		if newest == nil || c.CreatedAt > newest.CreatedAt {
			newest = c
		}
	}
	if newest == nil {
		return "", notFound(fmt.Sprintf("container not found (%q)", name))
	}
	return newest.Id, nil
}

func (s *Server) readySandbox(ctx context.Context, pod *corev1.Pod) (string, error) {
	list, err := s.cfg.Runtime.ListPodSandbox(ctx, &runtimeapi.PodSandboxFilter{
		State:         &runtimeapi.PodSandboxStateValue{State: runtimeapi.PodSandboxState_SANDBOX_READY},
		LabelSelector: map[string]string{nodecri.LabelPodUID: string(pod.UID)},
	})
	if err != nil {
		return "", err
	}
	var newest *runtimeapi.PodSandbox
	for _, b := range list {
		if newest == nil || b.CreatedAt > newest.CreatedAt {
			newest = b
		}
	}
	if newest == nil {
		return "", notFound(fmt.Sprintf("failed to find sandbox for pod %q", nodecri.PodString(pod)))
	}
	return newest.Id, nil
}
