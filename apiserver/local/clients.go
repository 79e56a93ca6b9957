package local

import (
	"net/http"

	"k8s.io/client-go/kubernetes"
	restclient "k8s.io/client-go/rest"

	"proa/auth"
)

// Config is a client configuration that reaches handler as user, in protobuf,
// without limits of its own. userAgent names the component; managed fields are
// recorded under it.
func Config(handler http.Handler, user *auth.User, userAgent string) *restclient.Config {
	return &restclient.Config{
		Host:      "http://local",
		Transport: &Transport{Handler: handler, User: user},
		UserAgent: userAgent,
		QPS:       -1,
		// Warnings are for people; parts of this process know what they use.
		WarningHandler: restclient.NoWarnings{},
		ContentConfig: restclient.ContentConfig{
			AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json",
			ContentType:        "application/vnd.kubernetes.protobuf",
		},
	}
}

// Clients is a typed clientset over [Config].
func Clients(handler http.Handler, user *auth.User, userAgent string) (kubernetes.Interface, error) {
	return kubernetes.NewForConfig(Config(handler, user, userAgent))
}
