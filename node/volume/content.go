package volume

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"proa/node/cri"
)

// What is made from objects of the API.
const (
	kindConfigMap = "configmap"
	kindSecret    = "secret"
	kindDownward  = "downward-api"
	kindProjected = "projected"

	defaultMode = 0o644
	// retryContent is when a source that could not be read is read again.
	retryContent = 30 * time.Second
)

// content is a payload being collected, with the stamp of its sources.
type content struct {
	files payload
	stamp strings.Builder
}

func newContent() *content { return &content{files: payload{}} }

// show writes the content to the volume of a kind, if it is not what was last
// written. Containers see it read-only.
func (j *job) show(kind string, inMemory bool, c *content) (cri.Volume, error) {
	dir := j.dir(kind)
	out := cri.Volume{Path: dir, ReadOnly: true, SELinuxRelabel: true}
	if stamp := c.stamp.String(); stamp != "" && stamp == j.last.stamp {
		j.stamp = stamp
		if _, err := os.Lstat(dir); err == nil {
			return out, nil
		}
	}
	if err := makeDir(dir, 0o777); err != nil {
		return out, err
	}
	if inMemory {
		if err := mountTmpfs(dir, "mode=0777"); err != nil {
			return out, err
		}
	}
	var own func(*os.File) error
	if g := j.fsGroup(); g != nil {
		own = func(d *os.File) error { return giveToGroup(d, *g, true) }
		d, err := os.Open(dir)
		if err != nil {
			return out, err
		}
		err = giveOne(d, int(*g), groupRead|groupDir)
		d.Close()
		if err != nil {
			return out, err
		}
	}
	changed, err := writeAtomically(dir, c.files, own, j.cfg.Clock.Now())
	if err != nil {
		return out, err
	}
	if changed {
		j.cfg.Log.Debug("wrote volume", "pod", cri.PodString(j.pod), "volume", j.volume.Name, "files", len(c.files))
	}
	j.stamp = c.stamp.String()
	return out, nil
}

// keepOld shows what is on disk already where a source cannot be read now, as
// after a restart while the API server is away, and asks for another try.
func (j *job) keepOld(kind string, err error) (cri.Volume, error) {
	var status apierrors.APIStatus
	if errors.As(err, &status) && (apierrors.IsNotFound(err) || apierrors.IsForbidden(err)) || errors.Is(err, errContent) {
		return cri.Volume{}, err
	}
	dir := j.dir(kind)
	if _, lerr := os.Readlink(dir + "/" + dataLink); lerr != nil {
		return cri.Volume{}, err
	}
	j.cfg.Log.Warn("keep a volume as it is", "pod", cri.PodString(j.pod), "volume", j.volume.Name, "err", err)
	j.refresh = j.cfg.Clock.Now().Add(retryContent)
	return cri.Volume{Path: dir, ReadOnly: true, SELinuxRelabel: true}, nil
}

// errContent is what pods ask for and sources do not have, as opposed to
// sources that cannot be read.
var errContent = errors.New("references non-existent config key")

// addMap adds the entries of a ConfigMap or Secret: all of them, or the items.
func (c *content) addMap(what, name string, items []corev1.KeyToPath, get func(key string) ([]byte, bool), keys func(yield func(string, []byte) bool), mode *int32, optional bool, uid *int64) error {
	def := fileMode(mode)
	if items == nil {
		for k, v := range keys {
			c.files[k] = file{data: v, mode: def, uid: uid}
		}
		return nil
	}
	for _, it := range items {
		data, ok := get(it.Key)
		if !ok {
			if optional {
				continue
			}
			return fmt.Errorf("%w: %s", missingKey(what), it.Key)
		}
		m := def
		if it.Mode != nil {
			m = fileMode(it.Mode)
		}
		c.files[it.Path] = file{data: data, mode: m, uid: uid}
	}
	return nil
}

// missingKey is errContent in the words for one kind.
func missingKey(what string) error {
	if what == kindConfigMap {
		return errContent
	}
	return contentError("references non-existent " + what + " key")
}

type contentError string

func (e contentError) Error() string        { return string(e) }
func (e contentError) Is(target error) bool { return target == errContent }

func fileMode(m *int32) fs.FileMode {
	if m == nil {
		return defaultMode
	}
	return fs.FileMode(*m) & fs.ModePerm
}
