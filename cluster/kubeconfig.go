package cluster

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// ContextName under which a cluster stands in a kubeconfig.
const ContextName = "proa"

// MergeKubeconfig adds the cluster to the user's kubeconfig (the KUBECONFIG
// list, else ~/.kube/config) and makes it the current context. Everything else
// in the file stays as it is. It returns the file that was written.
func MergeKubeconfig(admin string) (string, error) {
	from, err := clientcmd.LoadFromFile(admin)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", admin, err)
	}
	rules := clientcmd.NewDefaultPathOptions()
	to, err := rules.GetStartingConfig()
	if err != nil {
		return "", fmt.Errorf("your kubeconfig cannot be read, so nothing was added to it; repair it, or point KUBECONFIG at another file: %w", err)
	}
	ctx := from.Contexts[from.CurrentContext]
	if ctx == nil {
		return "", fmt.Errorf("%s has no current context", admin)
	}
	file := rules.GetDefaultFilename()
	place(to.Clusters, ContextName, from.Clusters[ctx.Cluster], file)
	place(to.AuthInfos, ContextName, from.AuthInfos[ctx.AuthInfo], file)
	place(to.Contexts, ContextName, &clientcmdapi.Context{Cluster: ContextName, AuthInfo: ContextName}, file)
	to.CurrentContext = ContextName
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the kubeconfig: %w", err)
	}
	if err := clientcmd.ModifyConfig(rules, *to, true); err != nil {
		return "", fmt.Errorf("write the kubeconfig: %w", err)
	}
	return file, nil
}

// RemoveKubeconfig takes the cluster out of the user's kubeconfig again, if the
// entry there is this cluster's.
func RemoveKubeconfig(admin string) error {
	from, err := clientcmd.LoadFromFile(admin)
	if err != nil {
		return nil // never became a cluster
	}
	rules := clientcmd.NewDefaultPathOptions()
	to, err := rules.GetStartingConfig()
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	ours, theirs := from.Clusters[ContextName], to.Clusters[ContextName]
	if ours == nil || theirs == nil || ours.Server != theirs.Server {
		return nil
	}
	delete(to.Clusters, ContextName)
	delete(to.AuthInfos, ContextName)
	delete(to.Contexts, ContextName)
	if to.CurrentContext == ContextName {
		to.CurrentContext = ""
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
