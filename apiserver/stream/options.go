package stream

import (
	"fmt"
	"net/url"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// decode reads a query into options.
func decode(query url.Values, into runtime.Object) (runtime.Object, error) {
	if err := readQuery(query, into); err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	return into, nil
}

func execOptions(q url.Values) (runtime.Object, error) {
	o := &corev1.PodExecOptions{Stdout: true, Stderr: true}
	if q.Has("stdout") || q.Has("stderr") || q.Has("stdin") {
		o.Stdout, o.Stderr = false, false
	}
	if _, err := decode(q, o); err != nil {
		return nil, err
	}
	if len(o.Command) == 0 {
		return nil, apierrors.NewBadRequest("you must specify at least 1 command for the container")
	}
	return o, nil
}

func attachOptions(q url.Values) (runtime.Object, error) {
	o := &corev1.PodAttachOptions{Stdout: true, Stderr: true}
	if q.Has("stdout") || q.Has("stderr") || q.Has("stdin") {
		o.Stdout, o.Stderr = false, false
	}
	return decode(q, o)
}

func portForwardOptions(q url.Values) (runtime.Object, error) {
	return decode(q, &corev1.PodPortForwardOptions{})
}
func podProxyOptions(q url.Values) (runtime.Object, error) {
	return decode(q, &corev1.PodProxyOptions{})
}
func serviceProxyOptions(q url.Values) (runtime.Object, error) {
	return decode(q, &corev1.ServiceProxyOptions{})
}
func nodeProxyOptions(q url.Values) (runtime.Object, error) {
	return decode(q, &corev1.NodeProxyOptions{})
}

func logOptions(q url.Values) (runtime.Object, error) {
	o := &corev1.PodLogOptions{}
	if _, err := decode(q, o); err != nil {
		return nil, err
	}
	if errs := validateLog(o); len(errs) > 0 {
		return nil, apierrors.NewInvalid(corev1.SchemeGroupVersion.WithKind("PodLogOptions").GroupKind(), "", errs)
	}
	return o, nil
}

// Streams of a log that can be asked for.
const (
	streamAll    = "All"
	streamStdout = "Stdout"
	streamStderr = "Stderr"
)

func validateLog(o *corev1.PodLogOptions) (errs field.ErrorList) {
	if o.TailLines != nil && *o.TailLines < 0 {
		errs = append(errs, field.Invalid(field.NewPath("tailLines"), *o.TailLines, "must be greater than or equal to 0"))
	}
	if o.LimitBytes != nil && *o.LimitBytes < 1 {
		errs = append(errs, field.Invalid(field.NewPath("limitBytes"), *o.LimitBytes, "must be greater than 0"))
	}
	switch {
	case o.SinceSeconds != nil && o.SinceTime != nil:
		errs = append(errs, field.Forbidden(field.NewPath(""), "at most one of `sinceTime` or `sinceSeconds` may be specified"))
	case o.SinceSeconds != nil && *o.SinceSeconds < 1:
		errs = append(errs, field.Invalid(field.NewPath("sinceSeconds"), *o.SinceSeconds, "must be greater than 0"))
	}
	if o.Stream != nil {
		switch *o.Stream {
		case streamAll, streamStdout, streamStderr:
			if *o.Stream != streamAll && o.TailLines != nil {
				errs = append(errs, field.Forbidden(field.NewPath(""), "`tailLines` and specific `stream` are mutually exclusive for now"))
			}
		default:
			errs = append(errs, field.NotSupported(field.NewPath("stream"), *o.Stream, []string{streamAll, streamStdout, streamStderr}))
		}
	}
	return errs
}

// logQuery is what the node agent is asked.
func logQuery(o *corev1.PodLogOptions) url.Values {
	q := url.Values{}
	yes := func(name string, v bool) {
		if v {
			q.Set(name, "true")
		}
	}
	yes("follow", o.Follow)
	yes("previous", o.Previous)
	yes("timestamps", o.Timestamps)
	number(q, "sinceSeconds", o.SinceSeconds)
	number(q, "tailLines", o.TailLines)
	number(q, "limitBytes", o.LimitBytes)
	if o.SinceTime != nil {
		q.Set("sinceTime", o.SinceTime.UTC().Format(metav1.RFC3339Micro))
	}
	if o.Stream != nil {
		q.Set("stream", *o.Stream)
	}
	return q
}

func number(q url.Values, name string, v *int64) {
	if v != nil {
		q.Set(name, fmt.Sprint(*v))
	}
}

// streamQuery is what the node agent is asked of an exec or attach.
func streamQuery(stdin, stdout, stderr, tty bool, command []string) url.Values {
	q := url.Values{}
	for name, v := range map[string]bool{"input": stdin, "output": stdout, "error": stderr, "tty": tty} {
		if v {
			q.Set(name, "1")
		}
	}
	for _, c := range command {
		q.Add("command", c)
	}
	return q
}
