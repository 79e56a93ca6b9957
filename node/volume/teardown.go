package volume

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/types"

	"proa/node/volume/beneath"
)

// TearDown unmounts and removes the pod's volumes and then its directory. The
// pod's containers must have ended. Idempotent, and it needs no memory of the
// pod. Data outside the pod's directory (hostPath, local volumes) is never
// touched.
func (m *Manager) TearDown(ctx context.Context, uid types.UID) error {
	if err := checkUID(uid); err != nil {
		return err
	}
	st := m.state(uid)
	st.mu.Lock()
	defer st.mu.Unlock()
	st.gone = true
	m.mu.Lock()
	if m.pods[uid] == st {
		delete(m.pods, uid)
	}
	m.mu.Unlock()
	m.queue.Forget(uid)
	if m.cfg.Objects != nil {
		m.cfg.Objects.Unregister(uid)
	}
	m.tokens.forget(uid)

	dir := m.podDir(uid)
	if err := unmountBelow(dir); err != nil {
		return fmt.Errorf("unmount the volumes of pod %s: %w", uid, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	pods, err := beneath.OpenRoot(filepath.Dir(dir))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer pods.Close()
	if err := beneath.RemoveAll(pods, string(uid)); err != nil {
		return fmt.Errorf("remove the directory of pod %s: %w", uid, err)
	}
	return nil
}
