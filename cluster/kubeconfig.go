package cluster

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ContextName under which a cluster stands in a kubeconfig, unless another
// cluster stands there under it.
const ContextName = "proa"

// maxContexts bounds the search for a name.
const maxContexts = 100

// MergeKubeconfig adds the cluster to the user's kubeconfig (the KUBECONFIG
// list, else ~/.kube/config) and makes it the current context. Everything else
// stays as it is: where the name belongs to another cluster already, this one
// takes "proa-2" and so on. It returns the name and the file that was written.
func MergeKubeconfig(admin string) (name, file string, err error) {
	from, err := clientcmd.LoadFromFile(admin)
	if err != nil {
		return "", "", fmt.Errorf("read %s: %w", admin, err)
	}
	rules := clientcmd.NewDefaultPathOptions()
	to, err := rules.GetStartingConfig()
	if err != nil {
		return "", "", fmt.Errorf("your kubeconfig cannot be read, so nothing was added to it; repair it, or point KUBECONFIG at another file: %w", err)
	}
	ctx := from.Contexts[from.CurrentContext]
	if ctx == nil || from.Clusters[ctx.Cluster] == nil || from.AuthInfos[ctx.AuthInfo] == nil {
		return "", "", fmt.Errorf("%s has no current context; the server writes it anew when it starts", admin)
	}
	ours := from.Clusters[ctx.Cluster]
	if name = freeName(to, ours); name == "" {
		return "", "", fmt.Errorf("your kubeconfig has %d clusters called %s already; remove some with \"kubectl config delete-context\"", maxContexts, ContextName)
	}
	file = rules.GetDefaultFilename()
	place(to.Clusters, name, ours, file)
	place(to.AuthInfos, name, from.AuthInfos[ctx.AuthInfo], file)
	place(to.Contexts, name, &clientcmdapi.Context{Cluster: name, AuthInfo: name}, file)
	to.CurrentContext = name
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", "", fmt.Errorf("make the folder of the kubeconfig: %w", err)
	}
	if err := clientcmd.ModifyConfig(rules, *to, true); err != nil {
		return "", "", fmt.Errorf("write the kubeconfig: %w", err)
	}
	return name, file, nil
}

// names are those that a cluster may have, in order.
func names(yield func(string) bool) {
	if !yield(ContextName) {
		return
	}
	for i := 2; i <= maxContexts; i++ {
		if !yield(fmt.Sprintf("%s-%d", ContextName, i)) {
			return
		}
	}
}

// freeName is the first name that is the cluster's already or nobody's.
func freeName(c *clientcmdapi.Config, ours *clientcmdapi.Cluster) string {
	for name := range names {
		if is := c.Clusters[name]; is != nil {
			if same(is, ours) {
				return name
			}
			continue
		}
		if c.AuthInfos[name] == nil && c.Contexts[name] == nil {
			return name
		}
	}
	return ""
}

// same reports whether two entries are for one cluster: at the same address, or
// with the same authority, after it has moved.
func same(a, b *clientcmdapi.Cluster) bool {
	return a.Server == b.Server ||
		len(a.CertificateAuthorityData) > 0 && bytes.Equal(a.CertificateAuthorityData, b.CertificateAuthorityData)
}

// RemoveKubeconfig takes the cluster out of the user's kubeconfig again. What
// else is there stays.
func RemoveKubeconfig(admin string) error {
	from, err := clientcmd.LoadFromFile(admin)
	if err != nil {
		return nil // never became a cluster
	}
	rules := clientcmd.NewDefaultPathOptions()
	to, err := rules.GetStartingConfig()
	if err != nil {
		return fmt.Errorf("your kubeconfig cannot be read, so the cluster stays in it; repair it, or point KUBECONFIG at another file: %w", err)
	}
	ours := from.Clusters[ContextName]
	removed := false
	for name := range names {
		is, ctx := to.Clusters[name], to.Contexts[name]
		if ours == nil || is == nil || !same(is, ours) || ctx != nil && (ctx.Cluster != name || ctx.AuthInfo != name) {
			continue
		}
		delete(to.Clusters, name)
		delete(to.AuthInfos, name)
		delete(to.Contexts, name)
		if to.CurrentContext == name {
			to.CurrentContext = ""
		}
		removed = true
	}
	if !removed {
		return nil
	}
	if err := clientcmd.ModifyConfig(rules, *to, true); err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	return nil
}

// locatable is an entry of a kubeconfig that remembers its file.
type locatable interface {
	*clientcmdapi.Cluster | *clientcmdapi.AuthInfo | *clientcmdapi.Context
}

// place puts an entry into a map, keeping the file that an entry of the same
// name came from, else the user's default file.
func place[T locatable](m map[string]T, name string, v T, file string) {
	origin := file
	if was, ok := m[name]; ok {
		if o := *originOf(was); o != "" {
			origin = o
		}
	}
	*originOf(v) = origin
	m[name] = v
}

func originOf[T locatable](v T) *string {
	switch v := any(v).(type) {
	case *clientcmdapi.Cluster:
		return &v.LocationOfOrigin
	case *clientcmdapi.AuthInfo:
		return &v.LocationOfOrigin
	case *clientcmdapi.Context:
		return &v.LocationOfOrigin
	}
	panic("unreachable")
}
