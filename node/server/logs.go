package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"context"

	nodecri "proa/node/cri"
	"proa/node/logs"
)

// containerLogs serves kubectl logs.
func (s *Server) containerLogs(w http.ResponseWriter, r *http.Request) {
	opts, err := logOptions(r.URL.Query())
	if err != nil {
		http.Error(w, `{"message": "Invalid request."}`, http.StatusUnprocessableEntity)
		return
	}
	pod, ok := s.findPod(w, r)
	if !ok {
		return
	}
	name := r.PathValue("container")
	if nodecri.FindContainer(pod, name) == nil {
		http.Error(w, fmt.Sprintf("container %q not found in pod %q", name, pod.Name), http.StatusNotFound)
		return
	}
	id, err := logContainer(pod, name, opts.Previous)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	st, err := s.cfg.Runtime.ContainerStatus(r.Context(), id, false)
	if err != nil {
		http.Error(w, fmt.Sprintf("failed to get container status %q: %v", id, err), http.StatusBadRequest)
		return
	}
	ro := logs.Options{
		Follow: opts.Follow, Tail: -1, LimitBytes: opts.LimitBytes, Timestamps: opts.Timestamps,
		Running: func(ctx context.Context) (bool, error) { return s.running(ctx, id) },
	}
	if opts.TailLines != nil {
		ro.Tail = *opts.TailLines
	}
	if opts.SinceSeconds != nil {
		ro.Since = s.cfg.Clock.Now().Add(-time.Duration(*opts.SinceSeconds) * time.Second)
	} else if opts.SinceTime != nil {
		ro.Since = opts.SinceTime.Time
	}
	w.Header().Set("Content-Type", "text/plain")
	out := &flushing{w: w, rc: http.NewResponseController(w), always: opts.Follow}
	var stdout, stderr io.Writer = out, out
	switch *opts.Stream {
	case corev1.LogStreamStdout:
		stderr = nil
	case corev1.LogStreamStderr:
		stdout = nil
	}
	if opts.Follow {
		// The client shall know at once that it is heard.
		w.WriteHeader(http.StatusOK)
		_ = out.rc.Flush()
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.streams, cancel)()
	if err := logs.Read(ctx, st.GetStatus().GetLogPath(), ro, stdout, stderr); err != nil {
		s.cfg.Log.Warn("read container log", "pod", nodecri.PodString(pod), "container", name, "err", err)
		if !out.wrote && !opts.Follow {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	}
}

// running says whether a container may still write to its log.
func (s *Server) running(ctx context.Context, id string) (bool, error) {
	st, err := s.cfg.Runtime.ContainerStatus(ctx, id, false)
	if err != nil {
		// Gone is ended; what else it may be ends the log too, in good order.
		return false, nil
	}
	switch st.GetStatus().GetState() {
	case runtimeapi.ContainerState_CONTAINER_RUNNING, runtimeapi.ContainerState_CONTAINER_CREATED:
		return true, nil
	}
	return false, nil
}

// flushing sends what it is given at once where a client waits for it.
type flushing struct {
	w      http.ResponseWriter
	rc     *http.ResponseController
	always bool
	wrote  bool
}

func (f *flushing) Write(b []byte) (int, error) {
	f.wrote = true
	n, err := f.w.Write(b)
	if f.always && err == nil {
		err = f.rc.Flush()
	}
	return n, err
}

// logOptions reads the query. Pure.
func logOptions(q url.Values) (*corev1.PodLogOptions, error) {
	o := &corev1.PodLogOptions{}
	var errs []error
	boolean := func(name string, to *bool) {
		// Present without a value is true, as everywhere in the API.
		if v, ok := q[name]; ok {
			*to = len(v) == 0 || v[0] == "" || !(v[0] == "0" || strings.EqualFold(v[0], "false"))
		}
	}
	number := func(name string, to **int64, least int64) {
		if v := q.Get(name); v != "" {
			n, err := strconv.ParseInt(v, 10, 64)
			if err != nil || n < least {
				errs = append(errs, fmt.Errorf("%s: %q", name, v))
				return
			}
			*to = &n
		}
	}
	boolean("follow", &o.Follow)
	boolean("previous", &o.Previous)
	boolean("timestamps", &o.Timestamps)
	number("tailLines", &o.TailLines, 0)
	if o.TailLines == nil {
		number("tail", &o.TailLines, 0)
	}
	number("sinceSeconds", &o.SinceSeconds, 1)
	number("limitBytes", &o.LimitBytes, 1)
	if v := q.Get("sinceTime"); v != "" {
		t, err := time.Parse(time.RFC3339, v)
		if err != nil {
			errs = append(errs, err)
		}
		o.SinceTime = &metav1.Time{Time: t}
		if o.SinceSeconds != nil {
			errs = append(errs, errors.New("at most one of sinceTime or sinceSeconds may be specified"))
		}
	}
	stream := corev1.LogStreamAll
	if v := q.Get("stream"); v != "" {
		stream = v
	}
	switch stream {
	case corev1.LogStreamAll:
	case corev1.LogStreamStdout, corev1.LogStreamStderr:
		if o.TailLines != nil {
			errs = append(errs, errors.New("tailLines and one stream cannot both be asked for"))
		}
	default:
		errs = append(errs, fmt.Errorf("stream: %q", stream))
	}
	o.Stream = &stream
	return o, errors.Join(errs...)
}

// logContainer picks the container of that name whose log is meant, by the
// pod's status. Pure.
func logContainer(pod *corev1.Pod, name string, previous bool) (id string, err error) {
	st := containerStatus(pod, name)
	if st == nil {
		return "", fmt.Errorf("container %q in pod %q is not available", name, pod.Name)
	}
	last := ""
	if t := st.LastTerminationState.Terminated; t != nil {
		last = t.ContainerID
	}
	switch {
	case previous:
		if last == "" {
			return "", fmt.Errorf("previous terminated container %q in pod %q not found", name, pod.Name)
		}
		id = last
	case st.State.Running != nil:
		id = st.ContainerID
	case st.State.Terminated != nil:
		if id = st.State.Terminated.ContainerID; id == "" {
			// The next one never started; the last one's log is what there is.
			id = last
		}
		if id == "" {
			return "", fmt.Errorf("container %q in pod %q is terminated", name, pod.Name)
		}
	case st.LastTerminationState.Terminated != nil:
		if last == "" {
			return "", fmt.Errorf("container %q in pod %q is terminated", name, pod.Name)
		}
		id = last
	case st.State.Waiting != nil:
		why := st.State.Waiting.Reason
		switch why {
		case "ErrImagePull":
			why = "image can't be pulled"
		case "ImagePullBackOff":
			why = "trying and failing to pull image"
		}
		return "", fmt.Errorf("container %q in pod %q is waiting to start: %v", name, pod.Name, why)
	default:
		return "", fmt.Errorf("container %q in pod %q is waiting to start - no logs yet", name, pod.Name)
	}
	if _, bare, ok := strings.Cut(id, "://"); ok {
		id = bare
	}
	return id, nil
}

func containerStatus(pod *corev1.Pod, name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{pod.Status.ContainerStatuses, pod.Status.InitContainerStatuses, pod.Status.EphemeralContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// systemLogs serves files of the node's log directory. Pods may hold parts of
// it and plant links there; none that leads out is followed.
func (s *Server) systemLogs(w http.ResponseWriter, r *http.Request) {
	root, err := os.OpenRoot(s.cfg.SystemLogs)
	if err != nil {
		http.Error(w, "the node has no log directory", http.StatusNotFound)
		return
	}
	defer root.Close()
	http.StripPrefix("/logs/", http.FileServerFS(root.FS())).ServeHTTP(w, r)
}
