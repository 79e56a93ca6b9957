package custom

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Caller posts a request to a webhook and returns the body of its answer, which
// it bounds. Safe for concurrent use.
type Caller interface {
	Call(ctx context.Context, where *apiextensionsv1.WebhookClientConfig, body []byte) ([]byte, error)
}

// webhookTimeout is how long a conversion may take.
const webhookTimeout = 30 * time.Second

// errNoCaller is for servers that can call nobody.
var errNoCaller = errors.New("this server cannot call webhooks")

// ask lets the webhook of the CRD convert objects that are not in the version
// already. Each answer is checked: a webhook may not rename or move an object.
func (k *Kind) ask(in []*Object, to *Version) ([]*Object, error) {
	of := in[0].version.gv.WithKind(k.names.Kind)
	fail := func(format string, a ...any) error {
		return fmt.Errorf("conversion webhook for %v "+format, append([]any{of}, a...)...)
	}
	trees := make([]map[string]any, len(in))
	objects := make([]runtime.RawExtension, len(in))
	for i, o := range in {
		trees[i] = o.typedContent()
		b, err := utiljson.Marshal(trees[i])
		if err != nil {
			return nil, err
		}
		objects[i].Raw = b
	}
	converted, err := k.call(objects, to)
	if err != nil {
		return nil, fail("failed: %w", err)
	}
	if len(converted) != len(in) {
		return nil, fail("returned %d objects, expected %d", len(converted), len(in))
	}
	out := make([]*Object, len(in))
	for i, raw := range converted {
		tree := map[string]any{}
		if err := utiljson.Unmarshal(raw.Raw, &tree); err != nil {
			return nil, fail("returned invalid converted object at index %v: %w", i, err)
		}
		if got := tree["apiVersion"]; got != to.gv.String() {
			return nil, fail("returned invalid object at index %d: invalid groupVersion (expected %v, received %v)", i, to.gv, got)
		}
		if got := tree["kind"]; got != k.names.Kind {
			return nil, fail("returned invalid object at index %d: invalid kind (expected %v, received %v)", i, k.names.Kind, got)
		}
		if err := checkConverted(trees[i], tree); err != nil {
			return nil, fail("returned invalid object: %w", err)
		}
		if err := checkConvertedMetadata(in[i], tree); err != nil {
			return nil, fail("returned invalid metadata: %w", err)
		}
		if out[i], err = to.coerced(tree, in[i]); err != nil {
			return nil, fail("returned invalid object: %w", err)
		}
	}
	return out, nil
}

// review is a ConversionReview; v1 and v1beta1 have the same form.
type review struct {
	metav1.TypeMeta `json:",inline"`
	Request         *apiextensionsv1.ConversionRequest  `json:"request,omitempty"`
	Response        *apiextensionsv1.ConversionResponse `json:"response,omitempty"`
}

// call posts a review in the first version that both sides know.
func (k *Kind) call(objects []runtime.RawExtension, to *Version) ([]runtime.RawExtension, error) {
	hook := k.crd.Spec.Conversion.Webhook
	version := ""
	for _, v := range hook.ConversionReviewVersions {
		if v == "v1" || v == "v1beta1" {
			version = v
			break
		}
	}
	switch {
	case version == "":
		return nil, errors.New("no supported conversion review versions")
	case k.caller == nil:
		return nil, errNoCaller
	}
	uid := types.UID(uuid.NewString())
	asked := metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/" + version, Kind: "ConversionReview"}
	body, err := json.Marshal(&review{TypeMeta: asked, Request: &apiextensionsv1.ConversionRequest{UID: uid, DesiredAPIVersion: to.gv.String(), Objects: objects}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), webhookTimeout)
	defer cancel()
	answer, err := k.caller.Call(ctx, hook.ClientConfig, body)
	if err != nil {
		return nil, err
	}
	var got review
	if err := json.Unmarshal(answer, &got); err != nil {
		return nil, err
	}
	if version == "v1" {
		if got.TypeMeta != asked {
			return nil, fmt.Errorf("expected webhook response of %v, got %v", asked.GroupVersionKind(), got.GroupVersionKind())
		}
		if got.Response != nil && got.Response.UID != uid {
			return nil, fmt.Errorf("expected response.uid=%q, got %q", uid, got.Response.UID)
		}
	}
	switch r := got.Response; {
	case r == nil:
		return nil, errors.New("no response provided")
	case r.Result.Status == metav1.StatusSuccess:
		return r.ConvertedObjects, nil
	case r.Result.Message != "":
		return nil, errors.New(r.Result.Message)
	default:
		return nil, fmt.Errorf("response.result.status was '%s', not 'Success'", r.Result.Status)
	}
}
