package cluster

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"

	"k8s.io/utils/clock"

	"proa/cache/encryption"
)

// openEncryption opens what encrypts the values of the store. It comes before the
// store itself: a cluster that has none yet is new, and gets a key of its own.
//
// An external etcd may be that of several servers, which must agree on their keys.
// It is encrypted where a file says so, and never by itself.
func openEncryption(ctx context.Context, c *Config, clk clock.WithTicker, log *slog.Logger) (*encryption.Encryption, error) {
	path := cmp.Or(c.API.Encryption.ConfigFile, c.EncryptionFile())
	own := c.API.Encryption.ConfigFile == ""
	if own {
		if isNew(c) {
			if err := encryption.Ensure(path, clk.Now()); err != nil {
				return nil, err
			}
		}
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			log.Info("Secrets are stored in the clear; write an EncryptionConfiguration and start again to encrypt them", "path", path)
			return encryption.None(), nil
		}
	}
	follow := own
	if r := c.API.Encryption.AutomaticReload; r != nil {
		follow = *r
	}
	return encryption.Open(ctx, encryption.Options{Path: path, Reload: follow, Clock: clk, Log: log})
}

// isNew reports whether the cluster has nothing stored yet, in an etcd of its own.
func isNew(c *Config) bool {
	if len(c.Etcd.Servers) > 0 {
		return false
	}
	_, err := os.Lstat(c.EtcdDir())
	return errors.Is(err, fs.ErrNotExist)
}
