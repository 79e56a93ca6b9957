package cluster

import (
	"context"
	"fmt"
	"path/filepath"

	"proa/pki"
)

// writeKubeconfigs writes the ways into the cluster: the operator's, and one
// for each part that may run alone beside this server, so that none of them has
// to act as the operator.
func (s *server) writeKubeconfigs() error {
	if err := s.writeAdminKubeconfig(); err != nil {
		return err
	}
	for path, spec := range s.config.partCredentials() {
		if err := s.writePartKubeconfig(path, spec); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

// partCredentials are the kubeconfigs of parts, by path, and the certificates
// in them.
func (c *Config) partCredentials() map[string]pki.Spec {
	return map[string]pki.Spec{
		c.ControllersKubeconfig(): pki.ControllerManager(),
		c.SchedulerKubeconfig():   pki.Scheduler(),
		c.KubeletKubeconfig():     pki.Node(c.Node.Name),
		c.ProxyKubeconfig():       pki.Proxy(),
	}
}

// writePartKubeconfig names the files of the certificate instead of holding it:
// a part reads them again when the authority has renewed them, and need not be
// started anew.
func (s *server) writePartKubeconfig(path string, spec pki.Spec) error {
	return writeKubeconfigOfFiles(path, s.authority, s.config.PKIDir(), spec, s.url())
}

// writeKubeconfigOfFiles writes a kubeconfig that names the files in which an
// authority keeps a certificate.
func writeKubeconfigOfFiles(path string, authority *pki.Authority, dir string, spec pki.Spec, url string) error {
	leaf, err := authority.Leaf(spec)
	if err != nil {
		return err
	}
	k := leaf.Kubeconfig(ContextName, url)
	k.Cert, k.Key = nil, nil
	file := filepath.Join(dir, filepath.FromSlash(spec.File))
	k.CertFile, k.KeyFile = file+".crt", file+".key"
	return k.Write(path)
}

// writeAdminKubeconfig writes the operator's way in, and writes it again when
// its certificate is renewed.
func (s *server) writeAdminKubeconfig() error {
	leaf, err := s.authority.Leaf(pki.Admin())
	if err != nil {
		return fmt.Errorf("admin certificate: %w", err)
	}
	path := s.config.AdminKubeconfig()
	replaced := leaf.Replaced()
	if err := leaf.Kubeconfig(ContextName, s.url()).Write(path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	s.parts.run("admin kubeconfig", func(ctx context.Context) error {
		for {
			select {
			case <-replaced:
			case <-ctx.Done():
				return nil
			}
			replaced = leaf.Replaced()
			if err := leaf.Kubeconfig(ContextName, s.url()).Write(path); err != nil {
				s.log.Error("the renewed admin certificate could not be written; restart to try again", "file", path, "err", err)
			}
		}
	})
	return nil
}
