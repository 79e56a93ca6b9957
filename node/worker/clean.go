package worker

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"proa/node/cri"
	"proa/node/observe"
	"proa/node/pod"
)

// removeContainer deletes one container that does not run.
func (w *worker) removeContainer(id string) {
	if w.removing[id] {
		return
	}
	w.removing[id] = true
	w.op(func() func() {
		err := w.cfg.Runtime.RemoveContainer(w.ctx, id)
		switch {
		case err == nil || observe.IsNotFound(err):
			w.cfg.Observer.Forget(id)
		case w.ctx.Err() == nil:
			w.log.Warn("cannot remove the container; will retry", "container", id, "error", err)
			w.hold()
		}
		return func() {
			delete(w.removing, id)
			w.stale = true
		}
	})
}

// prune removes what a living pod no longer needs: all ended instances of a
// container but the newest, and sandboxes that were replaced. The newest ended
// instance stays for its log and its exit code.
func (w *worker) prune() {
	if w.stop != nil {
		return
	}
	ended := map[string]int{}
	for i := range w.observed.Containers { // newest first
		c := &w.observed.Containers[i]
		if c.State != pod.Exited || w.starting[c.Name] {
			continue
		}
		if ended[c.Name]++; ended[c.Name] > 1 {
			w.removeContainer(c.ID)
		}
	}
	if w.inSandbox || w.observed.ReadySandbox() == nil {
		return
	}
	for i := range w.observed.Sandboxes[1:] {
		s := &w.observed.Sandboxes[i+1]
		if s.Ready || w.holds(s.ID) || w.removing[s.ID] {
			continue
		}
		w.removing[s.ID] = true
		w.op(func() func() {
			if err := w.removeAll(w.ctx, s.ID); err != nil && w.ctx.Err() == nil {
				w.log.Warn("cannot remove the old pod sandbox; will retry", "sandbox", s.ID, "error", err)
				w.hold()
			}
			return func() { delete(w.removing, s.ID); w.stale = true }
		})
	}
}

// holds reports whether any container lives in the sandbox.
func (w *worker) holds(sandboxID string) bool {
	for i := range w.observed.Containers {
		if w.observed.Containers[i].SandboxID == sandboxID {
			return true
		}
	}
	return false
}

// leave ends the worker of a pod that is over, once no source knows the pod: what
// is left in the runtime and of its logs is removed first.
func (w *worker) leave() {
	if !w.removed && !w.orphan {
		return
	}
	if len(w.removing) > 0 {
		return
	}
	if w.observed.Empty() {
		p := w.desired
		if p.Name != "" {
			w.removeLogs(p.Namespace, p.Name)
		}
		w.cfg.Probes.Sync(w.uid, nil)
		w.cfg.Statuses.Forget(w.uid)
		w.gone = true
		return
	}
	sandboxes := map[string]bool{}
	for i := range w.observed.Sandboxes {
		id := w.observed.Sandboxes[i].ID
		sandboxes[id] = true
		w.removing[id] = true
		w.op(func() func() {
			err := w.removeAll(w.ctx, id)
			if err != nil && w.ctx.Err() == nil {
				w.log.Warn("cannot remove the pod sandbox; will retry", "sandbox", id, "error", err)
				w.hold()
			}
			return func() { delete(w.removing, id); w.stale = true }
		})
	}
	for i := range w.observed.Containers {
		if c := &w.observed.Containers[i]; !sandboxes[c.SandboxID] {
			w.removeContainer(c.ID)
		}
	}
}

// removeAll removes a sandbox with the containers in it.
func (w *worker) removeAll(ctx context.Context, sandboxID string) error {
	if err := w.cfg.Runtime.RemovePodSandbox(ctx, sandboxID); err != nil && !observe.IsNotFound(err) {
		return err
	}
	return nil
}

// removeLogs removes the pod's logs and the links to them.
func (w *worker) removeLogs(namespace, name string) {
	dir := cri.PodLogDir(w.cfg.Node.PodLogs, namespace, name, w.uid)
	if err := os.RemoveAll(dir); err != nil {
		w.log.Warn("cannot remove the pod's logs", "error", err)
	}
	if w.cfg.ContainerLogs == "" {
		return
	}
	links, _ := filepath.Glob(filepath.Join(w.cfg.ContainerLogs, name+"_"+namespace+"_*.log"))
	for _, link := range links {
		if to, err := os.Readlink(link); err == nil && strings.HasPrefix(to, dir+string(filepath.Separator)) {
			_ = os.Remove(link) // at worst a dangling link stays
		}
	}
}
