package node

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"path/filepath"

	certificatesv1 "k8s.io/api/certificates/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/util/certificate"
)

// servingCertificates asks the API server for the certificate of the agent's own
// API, by a CertificateSigningRequest, and renews it in time. Someone has to
// approve the requests.
func (a *Agent) servingCertificates() (certificate.Manager, error) {
	store, err := certificate.NewFileStore("kubelet-server", filepath.Join(a.cfg.Root, "pki"), filepath.Join(a.cfg.Root, "pki"), "", "")
	if err != nil {
		return nil, fmt.Errorf("open the store of serving certificates: %w", err)
	}
	var ips []net.IP
	for _, ip := range a.cfg.NodeIPs {
		ips = append(ips, net.ParseIP(ip))
	}
	template := &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: "system:node:" + a.cfg.NodeName, Organization: []string{"system:nodes"}},
		// The API binds the agent to this name; the host's it could make up.
		DNSNames:    []string{a.cfg.NodeName},
		IPAddresses: ips,
	}
	m, err := certificate.NewManager(&certificate.Config{
		ClientsetFn:      func(*tls.Certificate) (kubernetes.Interface, error) { return a.cfg.Client, nil },
		Template:         template,
		SignerName:       certificatesv1.KubeletServingSignerName,
		Usages:           []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
		CertificateStore: store,
		Name:             "kubelet-serving",
	})
	if err != nil {
		return nil, fmt.Errorf("set up the requests for serving certificates: %w", err)
	}
	return m, nil
}

// bootstrapTLS serves with certificates that come by request. Until the first one
// is issued, connections fail.
func (a *Agent) bootstrapTLS() (*tls.Config, part, error) {
	m, err := a.servingCertificates()
	if err != nil {
		return nil, part{}, err
	}
	conf := &tls.Config{
		MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if c := m.Current(); c != nil {
				return c, nil
			}
			return nil, fmt.Errorf("no serving certificate has been issued yet; approve the node's request (kubectl get csr)")
		},
	}
	return conf, part{"serving certificates", func(ctx context.Context) error {
		m.Start()
		<-ctx.Done()
		m.Stop()
		return nil
	}}, nil
}
