package apps

import (
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"proa/resource"
	rt "proa/resource/resourcetest"
)

// base is a manifest that all workload kinds share.
const base = `
metadata: {name: web, namespace: default}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: nginx}]}
`

const mismatched = "spec.template.metadata.labels: Invalid value: {\"app\":\"web\"}: `selector` does not match template `labels`"

func TestDeployment(t *testing.T) {
	t.Parallel()
	rt.Verdicts(t, Deployment(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "no selector", Patch: `spec: {selector: null}`, Want: []string{"spec.selector: Required value", mismatched}},
		rt.Verdict{Name: "empty selector", Patch: `spec: {selector: {matchLabels: null}}`, Want: []string{
			"spec.selector: Invalid value: {}: empty selector is invalid for deployment",
		}},
		rt.Verdict{Name: "other selector", Patch: `spec: {selector: {matchLabels: {app: db}}}`, Want: []string{mismatched}},
		rt.Verdict{Name: "selector of no label", Patch: `spec: {selector: {matchExpressions: [{key: app, operator: In}]}}`, Want: []string{
			"spec.selector.matchExpressions[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
			`spec.selector: Invalid value: {"matchLabels":{"app":"web"},"matchExpressions":[{"key":"app","operator":"In"}]}: invalid label selector`,
		}},
		rt.Verdict{Name: "numbers", Patch: `spec: {replicas: -1, minReadySeconds: 700, revisionHistoryLimit: -1}`, Want: []string{
			"spec.replicas: Invalid value: -1: must be greater than or equal to 0",
			"spec.revisionHistoryLimit: Invalid value: -1: must be greater than or equal to 0",
			"spec.progressDeadlineSeconds: Invalid value: 600: must be greater than minReadySeconds",
		}},
		rt.Verdict{Name: "recreate slowly", Patch: `spec: {strategy: {type: Recreate, rollingUpdate: {}}}`, Want: []string{
			"spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
		}},
		rt.Verdict{Name: "unknown strategy", Patch: `spec: {strategy: {type: Sometimes}}`, Want: []string{
			`spec.strategy: Unsupported value: {"Type":"Sometimes","RollingUpdate":null}: supported values: "Recreate", "RollingUpdate"`,
		}},
		rt.Verdict{Name: "stuck", Patch: `spec: {strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0%}}}`, Want: []string{
			"spec.strategy.rollingUpdate.maxUnavailable: Invalid value: \"0%\": may not be 0 when `maxSurge` is 0",
		}},
		rt.Verdict{Name: "more than all", Patch: `spec: {strategy: {rollingUpdate: {maxUnavailable: 101%}}}`, Want: []string{
			`spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%`,
		}},
		rt.Verdict{Name: "runs once", Patch: `spec: {template: {spec: {restartPolicy: Never, activeDeadlineSeconds: 5}}}`, Want: []string{
			`spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`,
			"spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicaSet is not Supported",
		}},
	)
	rt.UpdateVerdicts(t, Deployment(), base,
		rt.Verdict{Name: "image", Patch: `spec: {template: {spec: {containers: [{name: web, image: nginx:2}]}}}`},
		rt.Verdict{Name: "selector stays", Patch: `{spec: {selector: {matchLabels: {tier: a}}, template: {metadata: {labels: {tier: a}}}}}`, Want: []string{
			`spec.selector: Invalid value: {"matchLabels":{"app":"web","tier":"a"}}: field is immutable`,
		}},
	)
	rt.SubresourceVerdicts(t, Deployment(), "status", base+"status: {collisionCount: 2}\n",
		rt.Verdict{Name: "counts", Patch: `status: {replicas: 1, updatedReplicas: 2, readyReplicas: 0, availableReplicas: 1, collisionCount: 1}`, Want: []string{
			"status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas",
			"status.availableReplicas: Invalid value: 1: cannot be greater than readyReplicas",
			"status.collisionCount: Invalid value: 1: cannot be decremented",
		}})
	rt.Columns(t, Deployment(), "Name", "Ready", "Up-to-date", "Available", "Age", "(Containers)", "(Images)", "(Selector)")
	rt.Cells(t, Deployment(), base+"status: {readyReplicas: 1, updatedReplicas: 2}\n",
		"web", "1/0", int64(2), int64(0), "60m", "web", "nginx", "app=web")
}

func TestDeploymentGeneration(t *testing.T) {
	t.Parallel()
	d := Deployment()
	old := rt.Object(t, d, base, "").(*appsv1.Deployment)
	req := &resource.Request{Now: metav1.NewTime(rt.Now())}
	for name, c := range map[string]struct {
		change func(*appsv1.Deployment)
		status bool
		want   int64
	}{
		"labels":                     {change: func(d *appsv1.Deployment) { d.Labels = map[string]string{"a": "b"} }, want: 1},
		"spec":                       {change: func(d *appsv1.Deployment) { d.Spec.Paused = true }, want: 2},
		"annotations":                {change: func(d *appsv1.Deployment) { d.Annotations = map[string]string{"a": "b"} }, want: 2},
		"status":                     {change: func(d *appsv1.Deployment) { d.Status.Replicas = 9 }, want: 1},
		"annotations with a status":  {change: func(d *appsv1.Deployment) { d.Annotations = map[string]string{"a": "b"} }, status: true, want: 1},
		"a spec sent with a status":  {change: func(d *appsv1.Deployment) { d.Spec.Paused = true }, status: true, want: 1},
		"a generation of its choice": {change: func(d *appsv1.Deployment) { d.Generation = 9 }, want: 1},
	} {
		o := old.DeepCopy()
		c.change(o)
		if c.status {
			d.Updates["status"].PrepareUpdate(req, o, old)
		} else {
			d.PrepareUpdate(req, o, old)
		}
		if o.Generation != c.want {
			t.Errorf("%s: generation %d, not %d", name, o.Generation, c.want)
		}
		if c.status && o.Spec.Paused || !c.status && o.Status.Replicas != 0 {
			t.Errorf("%s: the other half changed too", name)
		}
	}
}

func TestScale(t *testing.T) {
	t.Parallel()
	d := Deployment()
	o := rt.Object(t, d, base, "").(*appsv1.Deployment)
	o.ResourceVersion, o.Status.Replicas = "7", 2
	s, _, err := d.Scale.Get(o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "web" || s.UID != "1-2-3" || s.ResourceVersion != "7" || s.Spec.Replicas != 1 || s.Status.Replicas != 2 || s.Status.Selector != "app=web" {
		t.Errorf("the scale is %+v", s)
	}
}

func TestReplicaSet(t *testing.T) {
	t.Parallel()
	rt.Verdicts(t, ReplicaSet(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "no selector", Patch: `spec: {selector: null}`, Want: []string{"spec.selector: Required value", mismatched}},
	)
	rt.SubresourceVerdicts(t, ReplicaSet(), "status", base,
		rt.Verdict{Name: "counts", Patch: `status: {replicas: 1, fullyLabeledReplicas: 2, observedGeneration: -1}`, Want: []string{
			"status.observedGeneration: Invalid value: -1: must be greater than or equal to 0",
			"status.fullyLabeledReplicas: Invalid value: 2: cannot be greater than status.replicas",
		}})
	rt.Columns(t, ReplicaSet(), "Name", "Desired", "Current", "Ready", "Age", "(Containers)", "(Images)", "(Selector)")
	rt.Cells(t, ReplicaSet(), base+"status: {replicas: 3}\n", "web", int64(0), int64(3), int64(0), "60m", "web", "nginx", "app=web")
}

func TestStatefulSet(t *testing.T) {
	t.Parallel()
	const claims = `
spec:
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]
  template: {spec: {containers: [{name: web, image: nginx, volumeMounts: [{name: data, mountPath: /data}]}]}}
`
	rt.Verdicts(t, StatefulSet(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "claims are volumes", Patch: claims},
		rt.Verdict{Name: "claims of one name", Patch: `{spec: {volumeClaimTemplates: [
			{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}},
			{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}]}}`},
		rt.Verdict{Name: "names of hosts are the set's", Patch: `spec: {template: {spec: {hostname: A, subdomain: a.b}}}`},
		rt.Verdict{Name: "no selector", Patch: `spec: {selector: null}`, Want: []string{"spec.selector: Required value", mismatched}},
		rt.Verdict{Name: "orders", Patch: `spec: {podManagementPolicy: Any, updateStrategy: {type: OnDelete, rollingUpdate: {}}}`, Want: []string{
			`spec.podManagementPolicy: Invalid value: "Any": must be 'OrderedReady' or 'Parallel'`,
			"spec.updateStrategy.rollingUpdate: Invalid value: {\"Partition\":0,\"MaxUnavailable\":null}: only allowed for updateStrategy 'RollingUpdate'",
		}},
		rt.Verdict{Name: "service", Patch: `spec: {serviceName: a.b, ordinals: {start: -1}}`, Want: []string{
			"spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0",
			`spec.serviceName: Invalid value: "a.b": must not contain dots`,
		}},
		rt.Verdict{Name: "retention", Patch: `spec: {persistentVolumeClaimRetentionPolicy: {whenDeleted: Keep}}`, Want: []string{
			`spec.persistentVolumeClaimRetentionPolicy.whenDeleted: Unsupported value: "Keep": supported values: "Retain", "Delete"`,
		}},
	)
	rt.UpdateVerdicts(t, StatefulSet(), base,
		rt.Verdict{Name: "mutable", Patch: `spec: {replicas: 3, minReadySeconds: 1, revisionHistoryLimit: 2, ordinals: {start: 1}}`},
		rt.Verdict{Name: "claims", Patch: claims, Want: []string{
			"spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
		}},
	)
	o := rt.Object(t, StatefulSet(), base, `spec: {updateStrategy: {type: RollingUpdate, rollingUpdate: {maxUnavailable: 2}}}`).(*appsv1.StatefulSet)
	if m := o.Spec.UpdateStrategy.RollingUpdate.MaxUnavailable; m != nil {
		t.Errorf("several pods at once: %v", m)
	}
	rt.Columns(t, StatefulSet(), "Name", "Ready", "Age", "(Containers)", "(Images)")
	rt.Cells(t, StatefulSet(), base+"status: {replicas: 1, readyReplicas: 1, availableReplicas: 0}\n", "web", "1/0", "60m", "web", "nginx")
	if m := StatefulSet().ValidateName("a.b", false); len(m) == 0 {
		t.Error("a set can be named a.b")
	}
}

func TestDaemonSet(t *testing.T) {
	t.Parallel()
	rt.Verdicts(t, DaemonSet(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "no selector", Patch: `spec: {selector: null}`, Want: []string{mismatched}},
		rt.Verdict{Name: "both ways", Patch: `spec: {updateStrategy: {rollingUpdate: {maxSurge: 1}}}`, Want: []string{
			"spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set when maxUnavailable is non-zero",
		}},
		rt.Verdict{Name: "no way", Patch: `spec: {updateStrategy: {rollingUpdate: {maxUnavailable: 0}}}`, Want: []string{
			"spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
		}},
	)
	rt.Columns(t, DaemonSet(), "Name", "Desired", "Current", "Ready", "Up-to-date", "Available", "Node Selector", "Age", "(Containers)", "(Images)", "(Selector)")
	rt.Cells(t, DaemonSet(), base, "web", int64(0), int64(0), int64(0), int64(0), int64(0), "<none>", "60m", "web", "nginx", "app=web")
}

func TestTemplateGeneration(t *testing.T) {
	t.Parallel()
	d := DaemonSet()
	old := rt.Object(t, d, base, "").(*appsv1.DaemonSet)
	if g := old.Annotations[appsv1.DeprecatedTemplateGeneration]; g != "1" {
		t.Errorf("created with template generation %q", g)
	}
	o := old.DeepCopy()
	o.Annotations = map[string]string{appsv1.DeprecatedTemplateGeneration: "9"}
	o.Spec.Template.Spec.Containers[0].Image = "nginx:2"
	d.PrepareUpdate(&resource.Request{}, o, old)
	if g := o.Annotations[appsv1.DeprecatedTemplateGeneration]; g != "2" || o.Generation != 2 {
		t.Errorf("a new template has template generation %q and generation %d", g, o.Generation)
	}
	status := old.DeepCopy()
	status.Annotations = nil
	d.Updates["status"].PrepareUpdate(&resource.Request{}, status, old)
	if g := status.Annotations[appsv1.DeprecatedTemplateGeneration]; g != "1" {
		t.Errorf("an update of the status made template generation %q", g)
	}
}

func TestControllerRevision(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: web-1, ownerReferences: [{apiVersion: apps/v1, kind: DaemonSet, name: web, uid: u, controller: true}]}, data: {a: 1}, revision: 3}`
	rt.Verdicts(t, ControllerRevision(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "empty", Patch: `{data: null, revision: -1}`, Want: []string{
			"revision: Invalid value: -1: must be greater than or equal to 0",
			"data: Required value: data is mandatory",
		}},
		rt.Verdict{Name: "list", Patch: `{data: [1]}`, Want: []string{"data: Required value: data must be a valid JSON object"}},
	)
	rt.UpdateVerdicts(t, ControllerRevision(), base, rt.Verdict{Name: "data", Patch: `data: {a: 2}`, Want: []string{
		`data: Invalid value: {"a":2}: field is immutable`,
	}})
	rt.Columns(t, ControllerRevision(), "Name", "Controller", "Revision", "Age")
	rt.Cells(t, ControllerRevision(), base, "web-1", "daemonset.apps/web", int64(3), "60m")
}
