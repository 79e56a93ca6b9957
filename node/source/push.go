package source

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	v1 "k8s.io/api/core/v1"
)

// Push takes pods from HTTP requests. It is a handler to be served where only the
// node's administrator reaches it, such as a unix socket of mode 0600:
//
//	POST   /pods                     a manifest: runs it, in place of an older one of its name
//	GET    /pods                     the names of the pods pushed
//	DELETE /pods/{namespace}/{name}  ends one; the name is the manifest's
//
// Accepted manifests are kept in a folder, so that they outlive the agent.
type Push struct {
	Dir    string
	Static Static
	Sink   Sink
	Log    *slog.Logger

	mu   sync.Mutex
	pods map[string]*v1.Pod // by namespace/name of the manifest
}

// Load brings back the pods accepted earlier. Call it once, before serving. A
// manifest that has become unreadable is set aside, never in the way.
func (p *Push) Load() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.Sink.Synced()
	p.pods = map[string]*v1.Pod{}
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(p.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".json") {
			continue
		}
		path := filepath.Join(p.Dir, e.Name())
		data, err := os.ReadFile(path)
		if err == nil {
			_, _, err = p.accept(data)
		}
		if err != nil {
			p.Log.Error("a pushed pod cannot be read back and is set aside", "path", path, "error", err)
			_ = os.Rename(path, path+".broken")
		}
	}
	return nil
}

// ServeHTTP implements http.Handler.
func (p *Push) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /pods", p.post)
	mux.HandleFunc("GET /pods", p.get)
	mux.HandleFunc("DELETE /pods/{namespace}/{name}", p.delete)
	mux.ServeHTTP(w, r)
}

func (p *Push) post(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxManifest))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	key, doc, err := p.accept(data)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := writeFile(p.path(key), doc); err != nil {
		http.Error(w, fmt.Sprintf("the pod runs, but will not outlive the agent: %v", err), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusCreated)
	fmt.Fprintln(w, p.pods[key].Namespace+"/"+p.pods[key].Name)
}

// accept runs a manifest and returns its key and the form in which it is kept.
func (p *Push) accept(data []byte) (key string, doc []byte, err error) {
	pods, err := p.Static.Decode(data, "push")
	if err != nil {
		return "", nil, err
	}
	if len(pods) != 1 {
		return "", nil, fmt.Errorf("a push holds one pod, this one holds %d", len(pods))
	}
	it := pods[0]
	if doc, err = json.Marshal(it); err != nil {
		return "", nil, err
	}
	name := it.Name
	if err := p.Static.Prepare(it, "push"); err != nil {
		return "", nil, err
	}
	key = it.Namespace + "/" + name
	old := p.pods[key]
	if old != nil && old.UID == it.UID {
		return key, doc, nil
	}
	if old != nil {
		p.Sink.Remove(old.UID)
	}
	p.pods[key] = it
	p.Sink.Set(it)
	return key, doc, nil
}

func (p *Push) get(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := v1.PodList{}
	list.APIVersion, list.Kind = "v1", "PodList"
	for _, it := range p.pods {
		list.Items = append(list.Items, *it)
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(list) // the client may be gone
}

func (p *Push) delete(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := r.PathValue("namespace") + "/" + r.PathValue("name")
	it := p.pods[key]
	if it == nil {
		http.Error(w, fmt.Sprintf("no pod %q was pushed", key), http.StatusNotFound)
		return
	}
	if err := os.Remove(p.path(key)); err != nil && !os.IsNotExist(err) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	delete(p.pods, key)
	p.Sink.Remove(it.UID)
	w.WriteHeader(http.StatusNoContent)
}

// path of the file that keeps a pod. Namespaces and pod names hold no "_", so the
// names are unambiguous, and validated names hold no "/".
func (p *Push) path(key string) string {
	return filepath.Join(p.Dir, strings.ReplaceAll(key, "/", "_")+".json")
}

// writeFile replaces a file so that after a power cut either the old content is
// there or the new.
func writeFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".push-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(data); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := tmp.Sync(); err != nil {
		_ = tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
