package source

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/dump"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/yaml"

	"proa/node/pod"
	"proa/resource/core"
)

// maxManifest bounds a manifest, as the API server bounds a request.
const maxManifest = 3 << 20

// Static makes pods out of manifests.
type Static struct {
	NodeName string
	// From is FromFile, FromURL or FromPush.
	From string
	// Now stamps the pods; time.Now if nil.
	Now func() time.Time
}

// Decode reads manifests, YAML or JSON: pods, and lists of pods. origin is the
// file or URL they come from; it is part of a pod's identity.
func (s Static) Decode(data []byte, origin string) ([]*v1.Pod, error) {
	if len(data) > maxManifest {
		return nil, fmt.Errorf("%s is larger than %d bytes", origin, maxManifest)
	}
	var pods []*v1.Pod
	docs := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	for {
		var raw json.RawMessage
		err := docs.Decode(&raw)
		if errors.Is(err, io.EOF) {
			return pods, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", origin, err)
		}
		if len(bytes.TrimSpace(raw)) == 0 || string(raw) == "null" {
			continue
		}
		var kind metav1.TypeMeta
		if err := json.Unmarshal(raw, &kind); err != nil {
			return nil, fmt.Errorf("%s: %w", origin, err)
		}
		switch {
		case kind.APIVersion == "v1" && kind.Kind == "Pod":
			p := &v1.Pod{}
			if err := json.Unmarshal(raw, p); err != nil {
				return nil, fmt.Errorf("%s: %w", origin, err)
			}
			pods = append(pods, p)
		case kind.APIVersion == "v1" && (kind.Kind == "PodList" || kind.Kind == "List"):
			list := &v1.PodList{}
			if err := json.Unmarshal(raw, list); err != nil {
				return nil, fmt.Errorf("%s: %w", origin, err)
			}
			for i := range list.Items {
				pods = append(pods, &list.Items[i])
			}
		default:
			return nil, fmt.Errorf("%s holds a %s %q, want a v1 Pod", origin, kind.APIVersion, kind.Kind)
		}
	}
}

// Prepare gives a pod from a manifest its identity on this node, defaults it and
// checks it. The same manifest always gives the same UID; another one, or another
// origin, another.
func (s Static) Prepare(p *v1.Pod, origin string) error {
	if p.UID == "" {
		h := md5.New()
		fmt.Fprintf(h, "%v", dump.ForHash(p))
		if s.From == FromURL {
			fmt.Fprintf(h, "url:%s", origin)
		} else {
			fmt.Fprintf(h, "host:%s", s.NodeName)
			fmt.Fprintf(h, "%s:%s", s.From, origin)
		}
		p.UID = types.UID(hex.EncodeToString(h.Sum(nil)))
	}
	if p.Name == "" {
		return fmt.Errorf("%s: the pod has no name", origin)
	}
	p.Name = p.Name + "-" + strings.ToLower(s.NodeName)
	p.GenerateName = ""
	if p.Namespace == "" {
		p.Namespace = metav1.NamespaceDefault
	}
	if msgs := validation.IsDNS1123Subdomain(p.Name); len(msgs) > 0 {
		return fmt.Errorf("%s: pod name %q: %s", origin, p.Name, strings.Join(msgs, "; "))
	}
	p.Spec.NodeName = s.NodeName
	if p.Annotations == nil {
		p.Annotations = map[string]string{}
	}
	now := time.Now
	if s.Now != nil {
		now = s.Now
	}
	p.Annotations[pod.HashSourceAnnotation] = string(p.UID)
	p.Annotations[pod.SourceAnnotation] = s.From
	p.Annotations[pod.SeenAnnotation] = now().Format(time.RFC3339Nano)
	// A taint must not drive off what only this node's files can bring back.
	p.Spec.Tolerations = append(p.Spec.Tolerations, v1.Toleration{Operator: v1.TolerationOpExists, Effect: v1.TaintEffectNoExecute})
	core.DefaultPod(p)
	p.Status = v1.PodStatus{Phase: v1.PodPending}
	return s.check(p, origin)
}

// check refuses what cannot run without the API server.
func (s Static) check(p *v1.Pod, origin string) error {
	if errs := core.ValidatePod(p); len(errs) > 0 {
		return fmt.Errorf("%s: invalid pod: %w", origin, errs.ToAggregate())
	}
	var refused string
	switch {
	case len(p.Spec.EphemeralContainers) > 0:
		refused = "ephemeral containers"
	case p.Spec.ServiceAccountName != "":
		refused = "a service account"
	case len(p.Spec.ResourceClaims) > 0:
		refused = "resource claims"
	}
	for i := range p.Spec.Volumes {
		if v := &p.Spec.Volumes[i]; v.ConfigMap != nil || v.Secret != nil || v.PersistentVolumeClaim != nil {
			refused = "volume " + v.Name + ", which refers to an API object"
		}
	}
	if refused != "" {
		return fmt.Errorf("%s: a static pod may not have %s", origin, refused)
	}
	return nil
}

// known turns full listings of one origin into calls of a sink.
type known struct {
	sink Sink
	pods map[types.UID]bool
}

// replace makes the pods those of the list. What is gone is removed first, so
// that a changed pod makes room for itself.
func (k *known) replace(list []*v1.Pod) {
	next := make(map[types.UID]bool, len(list))
	for _, p := range list {
		next[p.UID] = true
	}
	for uid := range k.pods {
		if !next[uid] {
			k.sink.Remove(uid)
		}
	}
	for _, p := range list {
		if !k.pods[p.UID] {
			k.sink.Set(p)
		}
	}
	k.pods = next
}
