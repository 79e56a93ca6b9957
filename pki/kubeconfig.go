package pki

import (
	"os"

	"k8s.io/client-go/tools/clientcmd"
	api "k8s.io/client-go/tools/clientcmd/api"
)

// Kubeconfig is one way into a cluster.
type Kubeconfig struct {
	// Name of the cluster and of the context. The user is Name, or
	// User + "@" + Name where User is set.
	Name string
	User string
	// Server is the URL of the API server.
	Server string
	// CA, Cert and Key are in PEM form and become part of the file.
	CA, Cert, Key []byte
	// CertFile and KeyFile are paths, in place of Cert and Key: a client that
	// runs for long reads them again when they are replaced.
	CertFile, KeyFile string
	// Token is a bearer token, in place of Cert and Key.
	Token string
	// Namespace of the context; empty is "default".
	Namespace string
}

// Kubeconfig returns the way into a cluster at server with this certificate.
func (l *Leaf) Kubeconfig(name, server string) Kubeconfig {
	cert, key := l.PEM()
	return Kubeconfig{
		Name: name, User: l.Certificate().Leaf.Subject.CommonName, Server: server,
		CA: l.authority.CA(), Cert: cert, Key: key,
	}
}

func (k Kubeconfig) userName() string {
	if k.User == "" {
		return k.Name
	}
	return k.User + "@" + k.Name
}

// Config is the client configuration of k alone.
func (k Kubeconfig) Config() *api.Config {
	c := api.NewConfig()
	c.Clusters[k.Name] = &api.Cluster{Server: k.Server, CertificateAuthorityData: k.CA}
	c.AuthInfos[k.userName()] = &api.AuthInfo{
		ClientCertificateData: k.Cert, ClientKeyData: k.Key, ClientCertificate: k.CertFile, ClientKey: k.KeyFile, Token: k.Token,
	}
	c.Contexts[k.Name] = &api.Context{Cluster: k.Name, AuthInfo: k.userName(), Namespace: k.Namespace}
	c.CurrentContext = k.Name
	return c
}

// Write replaces the file at path by k alone, where it differs.
func (k Kubeconfig) Write(path string) error {
	data, err := clientcmd.Write(*k.Config())
	if err != nil {
		return err
	}
	if was, err := os.ReadFile(path); err == nil && samePEM(was, data) {
		return nil
	}
	return writeFile(path, data, true)
}
