// Package revision keeps the history of pod templates as ControllerRevisions,
// for the controllers of daemon sets and stateful sets.
//
// A revision holds a template as the patch that would restore it, byte for byte
// as upstream's controllers write it, so that either finds the other's
// revisions to be its own.
package revision

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"

	"proa/controller"
	"proa/controller/owned"
	"proa/controller/podcontrol"
)

// ErrCollision: another template has the name that this one would get. The
// owner's collision count is to be raised.
var ErrCollision = errors.New("another revision has the same name")

// longestPrefix is what is left of an owner's name before the hash.
const longestPrefix = 223

// Control works on the revisions of owners of one kind.
type Control struct {
	Env   controller.Env
	Kind  schema.GroupVersionKind
	Index *owned.Index[*appsv1.ControllerRevision]
	// HashLabel is where a revision carries its hash.
	HashLabel string
}

// Data is how a template is kept.
func Data(t *v1.PodTemplateSpec) ([]byte, error) {
	b, err := json.Marshal(t)
	if err != nil {
		return nil, fmt.Errorf("encode a template: %w", err)
	}
	var template map[string]any
	if err := json.Unmarshal(b, &template); err != nil {
		return nil, fmt.Errorf("encode a template: %w", err)
	}
	template["$patch"] = "replace"
	return json.Marshal(map[string]any{"spec": map[string]any{"template": template}})
}

// Template is the template of a revision.
func Template(r *appsv1.ControllerRevision) (*v1.PodTemplateSpec, error) {
	var patch struct {
		Spec struct {
			Template *v1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(r.Data.Raw, &patch); err != nil {
		return nil, fmt.Errorf("decode revision %s: %w", r.Name, err)
	}
	if patch.Spec.Template == nil {
		return nil, fmt.Errorf("revision %s holds no template", r.Name)
	}
	return patch.Spec.Template, nil
}

// Claim adopts and releases, and returns the revisions of an owner, oldest
// first. live is as for pods.
func (c Control) Claim(ctx context.Context, owner metav1.Object, selector labels.Selector, live func(context.Context) (metav1.Object, error)) ([]*appsv1.ControllerRevision, error) {
	claim := owned.Sort(owner, selector, c.Index.By(owner.GetUID()), c.Index.Orphans(owner.GetNamespace()))
	list, err := podcontrol.Settle(ctx, owner, c.Kind, claim, live, func(ctx context.Context, r *appsv1.ControllerRevision, patch []byte) error {
		_, err := c.Env.Client.AppsV1().ControllerRevisions(r.Namespace).Patch(ctx, r.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
		return err
	})
	slices.SortFunc(list, older)
	return list, err
}

func older(a, b *appsv1.ControllerRevision) int {
	return cmp.Or(cmp.Compare(a.Revision, b.Revision), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
}

// Split parts the revisions that hold data from the others, both oldest first.
func Split(list []*appsv1.ControllerRevision, data []byte) (same, others []*appsv1.ControllerRevision) {
	for _, r := range list {
		if bytes.Equal(r.Data.Raw, data) {
			same = append(same, r)
		} else {
			others = append(others, r)
		}
	}
	return same, others
}

// Next is the number after those of a list.
func Next(list []*appsv1.ControllerRevision) int64 {
	n := int64(0)
	for _, r := range list {
		n = max(n, r.Revision)
	}
	return n + 1
}

// hash names data.
func hash(data []byte, collisions *int32) string {
	h := fnv.New32()
	_, _ = h.Write(data)
	if collisions != nil {
		_, _ = h.Write([]byte(strconv.Itoa(int(*collisions))))
	}
	return rand.SafeEncodeString(fmt.Sprint(h.Sum32()))
}

// Create records data as the template of an owner, or finds that it has been
// recorded since the cache was read. The error is ErrCollision where the name
// is taken.
func (c Control) Create(ctx context.Context, owner metav1.Object, templateLabels map[string]string, data []byte, number int64, collisions *int32) (*appsv1.ControllerRevision, error) {
	sum := hash(data, collisions)
	l := maps.Clone(templateLabels)
	if l == nil {
		l = map[string]string{}
	}
	l[c.HashLabel] = sum
	r := &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.GetNamespace(), Name: name(owner.GetName(), sum), Labels: l, Annotations: owner.GetAnnotations(),
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, c.Kind)},
		},
		Data: runtime.RawExtension{Raw: data}, Revision: number,
	}
	client := c.Env.Client.AppsV1().ControllerRevisions(r.Namespace)
	made, err := client.Create(ctx, r, metav1.CreateOptions{})
	if !apierrors.IsAlreadyExists(err) {
		return made, err
	}
	there, err := client.Get(ctx, r.Name, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(there.Data.Raw, data) || !metav1.IsControlledBy(there, owner) {
		return nil, ErrCollision
	}
	return there, nil
}

func name(owner, sum string) string { return owner[:min(len(owner), longestPrefix)] + "-" + sum }

// Renumber gives a revision a higher number, as when its template is used
// again.
func (c Control) Renumber(ctx context.Context, r *appsv1.ControllerRevision, number int64) (*appsv1.ControllerRevision, error) {
	r = r.DeepCopy()
	r.Revision = number
	return c.Env.Client.AppsV1().ControllerRevisions(r.Namespace).Update(ctx, r, metav1.UpdateOptions{})
}

// Delete forgets revisions.
func (c Control) Delete(ctx context.Context, list []*appsv1.ControllerRevision) error {
	for _, r := range list {
		err := c.Env.Client.AppsV1().ControllerRevisions(r.Namespace).Delete(ctx, r.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &r.UID}})
		if err != nil && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}
