package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

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
	k.addTo(c)
	c.CurrentContext = k.Name
	return c
}

func (k Kubeconfig) addTo(c *api.Config) {
	c.Clusters[k.Name] = &api.Cluster{Server: k.Server, CertificateAuthorityData: k.CA}
	c.AuthInfos[k.userName()] = &api.AuthInfo{ClientCertificateData: k.Cert, ClientKeyData: k.Key, Token: k.Token}
	ctx := &api.Context{Cluster: k.Name, AuthInfo: k.userName(), Namespace: k.Namespace}
	// A namespace that the user chose stays chosen.
	if was := c.Contexts[k.Name]; was != nil && ctx.Namespace == "" {
		ctx.Namespace = was.Namespace
	}
	c.Contexts[k.Name] = ctx
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

// Merge adds k to the kubeconfig at path, and makes it the present context if
// there is none or if use is set. Everything else in the file stays.
func (k Kubeconfig) Merge(path string, use bool) error {
	return edit(path, func(c *api.Config) {
		k.addTo(c)
		if use || c.CurrentContext == "" {
			c.CurrentContext = k.Name
		}
	})
}

// Unmerge takes the cluster, user and context of k out of the kubeconfig at
// path. A missing file is fine.
func (k Kubeconfig) Unmerge(path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return edit(path, func(c *api.Config) {
		delete(c.Clusters, k.Name)
		delete(c.AuthInfos, k.userName())
		delete(c.Contexts, k.Name)
		if c.CurrentContext == k.Name {
			c.CurrentContext = ""
		}
	})
}

// edit changes the kubeconfig at path, under the lock that kubectl takes too.
func edit(path string, change func(*api.Config)) (err error) {
	unlock, err := lock(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	c, err := clientcmd.LoadFromFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		c, err = api.NewConfig(), nil
	}
	if err != nil {
		return fmt.Errorf("kubeconfig %s cannot be read; repair it or move it away: %w", path, err)
	}
	before, err := clientcmd.Write(*c)
	if err != nil {
		return err
	}
	change(c)
	after, err := clientcmd.Write(*c)
	if err != nil {
		return err
	}
	if string(before) == string(after) {
		return nil
	}
	// Through the link where it is one, so that the link stays.
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return writeFile(path, after, true)
}
