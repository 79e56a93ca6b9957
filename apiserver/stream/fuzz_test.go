package stream

import (
	"net/url"
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

// FuzzOptions reads the queries of streams. What is passed on to the node was
// understood here first.
func FuzzOptions(f *testing.F) {
	f.Add("container=c&follow=true&tailLines=5&sinceTime=2026-01-02T03:04:05Z&stream=Stdout&limitBytes=1")
	f.Add("command=sh&command=-c&stdin=1&tty=true&ports=80&ports=81&path=/a")
	f.Fuzz(func(t *testing.T, raw string) {
		q, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		for _, read := range optionReaders {
			if o, err := read(q); (o == nil) == (err == nil) {
				t.Errorf("%v, %v", o, err)
			}
		}
	})
}

var optionReaders = []func(url.Values) (runtime.Object, error){
	execOptions, attachOptions, portForwardOptions, podProxyOptions, serviceProxyOptions, nodeProxyOptions, logOptions,
}
