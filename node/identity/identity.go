package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/certificate"

	"proa/auth"
)

// Config of a node's identity.
type Config struct {
	// Access is the way to the API server by the kubeconfig.
	Access *rest.Config
	// Dir keeps the certificates, such as /var/lib/kubelet/pki.
	Dir string
}

// ErrNotANode means that access is not by the certificate of a node, which alone is
// renewed by request.
var ErrNotANode = errors.New("access is not by the client certificate of a node")

// Identity is a node's certificate. It is safe for concurrent use.
type Identity struct {
	user      string // system:node:NAME
	store     certificate.Store
	transport *transport
	access    *rest.Config
	manager   certificate.Manager
}

// Open takes the newest certificate there is. Nothing is asked for before Run.
func Open(c Config) (*Identity, error) {
	store, err := certificate.NewFileStore("kubelet-client", c.Dir, c.Dir, "", "")
	if err != nil {
		return nil, fmt.Errorf("open the store of client certificates: %w", err)
	}
	return open(c, store, func(access *rest.Config) (kubernetes.Interface, error) { return kubernetes.NewForConfig(access) })
}

func open(c Config, store certificate.Store, client func(*rest.Config) (kubernetes.Interface, error)) (*Identity, error) {
	access := rest.CopyConfig(c.Access)
	if err := rest.LoadTLSFiles(access); err != nil {
		return nil, fmt.Errorf("certificates of the node: %w", err)
	}
	if len(access.CertData) == 0 {
		return nil, ErrNotANode
	}
	given, err := tls.X509KeyPair(access.CertData, access.KeyData)
	if err != nil {
		return nil, fmt.Errorf("client certificate of the node: %w", err)
	}
	user := given.Leaf.Subject.CommonName
	if !strings.HasPrefix(user, auth.NodePrefix) {
		return nil, fmt.Errorf("%w: it is that of %q", ErrNotANode, user)
	}
	if was, err := store.Current(); err != nil || !newer(was, given.Leaf) {
		if _, err := store.Update(access.CertData, access.KeyData); err != nil {
			return nil, fmt.Errorf("keep the client certificate of the node in %s: %w", c.Dir, err)
		}
	}
	i := &Identity{user: user, store: store}
	if i.manager, err = i.newManager(client); err != nil {
		return nil, fmt.Errorf("set up the requests for client certificates: %w", err)
	}
	if i.transport, err = newTransport(access, i.manager.Current); err != nil {
		return nil, err
	}
	i.access = rest.CopyConfig(access)
	i.access.TLSClientConfig = rest.TLSClientConfig{}
	i.access.Transport = i.transport
	return i, nil
}

// newer tells whether a certificate that is kept is worth more than the given one.
func newer(kept *tls.Certificate, given *x509.Certificate) bool {
	return kept.Leaf != nil && kept.Leaf.NotBefore.After(given.NotBefore) && kept.Leaf.Subject.CommonName == given.Subject.CommonName
}

func (i *Identity) newManager(client func(*rest.Config) (kubernetes.Interface, error)) (certificate.Manager, error) {
	return certificate.NewManager(&certificate.Config{
		ClientsetFn: func(*tls.Certificate) (kubernetes.Interface, error) { return client(i.access) },
		Template: &x509.CertificateRequest{
			Subject: pkix.Name{CommonName: i.user, Organization: []string{auth.GroupNodes}},
		},
		SignerName:       certificatesv1.KubeAPIServerClientKubeletSignerName,
		GetUsages:        certificate.DefaultKubeletClientGetUsages,
		CertificateStore: i.store,
		Name:             "kubelet-client",
	})
}

// Access is the way to the API server by the certificate that is the newest at
// the time of each request.
func (i *Identity) Access() *rest.Config { return i.access }

// Run renews the certificate in time until ctx ends.
func (i *Identity) Run(ctx context.Context) error {
	i.manager.Start()
	<-ctx.Done()
	i.manager.Stop()
	i.transport.CloseIdleConnections()
	return nil
}
