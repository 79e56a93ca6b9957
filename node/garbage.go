package node

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"proa/node/observe"
)

// collectGarbage takes away what pods left that nobody knows any more: their
// directories, cgroups and logs. What living pods leave behind, their workers
// take away. It runs after a listing of the runtime and only once every source
// has spoken; what the listing holds is not touched.
//
// Only pods with a directory under the node root are looked at: other agents may
// share the machine, its cgroups and its log folder.
func (a *Agent) collectGarbage(ctx context.Context, running map[types.UID]*observe.Brief) {
	if a.sources.Load() > 0 {
		return
	}
	orphans, err := a.volumes.Orphans(func(uid types.UID) bool { return running[uid] != nil || a.workers.Known(uid) })
	if err != nil {
		a.log.Warn("orphaned pod directories cannot be listed", "error", err)
	}
	for _, uid := range orphans {
		err := errors.Join(
			a.cgroups.RemovePod(uid),
			a.removeLogs(uid),
			// Last, because the directory is what the pod is known by.
			a.volumes.TearDown(ctx, uid),
		)
		if err != nil {
			a.log.Warn("what an unknown pod left cannot all be removed; will retry", "uid", uid, "error", err)
		} else {
			a.log.Info("removed what an unknown pod left", "uid", uid)
		}
	}
	if len(orphans) > 0 {
		a.removeLinks()
	}
}

// removeLogs removes the log directory of a pod, NAMESPACE_NAME_UID.
func (a *Agent) removeLogs(uid types.UID) error {
	dirs, err := filepath.Glob(filepath.Join(a.cfg.Kubelet.PodLogsDir, "*_*_"+string(uid)))
	for _, dir := range dirs {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// removeLinks removes the links for log collectors that lead nowhere.
func (a *Agent) removeLinks() {
	if a.cfg.ContainerLogs == "-" {
		return
	}
	links, _ := filepath.Glob(filepath.Join(a.cfg.ContainerLogs, "*.log"))
	for _, link := range links {
		to, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(to, a.cfg.Kubelet.PodLogsDir+string(filepath.Separator)) {
			continue
		}
		if _, err := os.Stat(to); errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(link) // at worst it goes on leading nowhere
		}
	}
}
