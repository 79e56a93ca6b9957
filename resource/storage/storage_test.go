package storage

import (
	"strings"
	"testing"

	rt "proa/resource/resourcetest"
)

func TestStorageClass(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: fast}, provisioner: example.com/disk}`
	rt.Verdicts(t, StorageClass(), base,
		rt.Verdict{Name: "defaulted"},
		rt.Verdict{Name: "no provisioner", Patch: `provisioner: null`, Want: []string{"provisioner: Required value"}},
		rt.Verdict{Name: "policies", Patch: `{reclaimPolicy: Burn, volumeBindingMode: Never}`, Want: []string{
			`reclaimPolicy: Unsupported value: "Burn": supported values: "Delete", "Retain"`,
			`volumeBindingMode: Unsupported value: "Never": supported values: "Immediate", "WaitForFirstConsumer"`,
		}},
		rt.Verdict{Name: "large", Patch: `parameters: {a: ` + strings.Repeat("x", 256<<10) + `}`, Want: []string{
			"parameters: Too long: may not be more than 262144 bytes",
		}},
		rt.Verdict{Name: "topologies", Patch: `
allowedTopologies:
- matchLabelExpressions: [{key: zone, values: [a, b]}]
- matchLabelExpressions: [{key: zone, values: [b, a]}]
`, Want: []string{`allowedTopologies[1].matchLabelExpressions: Duplicate value: ""`}},
		rt.Verdict{Name: "empty topologies", Patch: `allowedTopologies: [{matchLabelExpressions: [{key: zone}]}, {}]`, Want: []string{
			"allowedTopologies[0].matchLabelExpressions[0].values: Required value",
			`allowedTopologies[1].matchLabelExpressions: Duplicate value: ""`,
		}},
	)
	rt.UpdateVerdicts(t, StorageClass(), base,
		rt.Verdict{Name: "expansion", Patch: `allowVolumeExpansion: true`},
		rt.Verdict{Name: "rest", Patch: `{parameters: {a: b}, provisioner: x, reclaimPolicy: Retain, volumeBindingMode: WaitForFirstConsumer}`, Want: []string{
			`parameters: Invalid value: {"a":"b"}: field is immutable`,
			`provisioner: Invalid value: "x": field is immutable`,
			`reclaimPolicy: Invalid value: "Retain": field is immutable`,
			`volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable`,
		}},
	)
	rt.Columns(t, StorageClass(), "Name", "Provisioner", "ReclaimPolicy", "VolumeBindingMode", "AllowVolumeExpansion", "Age")
	rt.Cells(t, StorageClass(), `{metadata: {name: fast, annotations: {storageclass.kubernetes.io/is-default-class: "true"}}, provisioner: p}`,
		"fast (default)", "p", "Delete", "Immediate", false, "60m")
}

func TestVolumeAttributesClass(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: gold}, driverName: example.com, parameters: {iops: "1"}}`
	rt.Verdicts(t, VolumeAttributesClass(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "no parameters", Patch: `parameters: null`, Want: []string{"parameters: Required value: must contain at least one key/value pair"}},
	)
	rt.UpdateVerdicts(t, VolumeAttributesClass(), base,
		rt.Verdict{Name: "driver", Patch: `{driverName: other, parameters: {iops: "2"}}`, Want: []string{
			"driverName: Forbidden: updates to driverName are forbidden.",
			"parameters: Forbidden: updates to parameters are forbidden.",
		}})
	rt.Columns(t, VolumeAttributesClass(), "Name", "DriverName", "Age")
}

func TestVolumeAttachment(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: a}, spec: {attacher: example.com, nodeName: n1, source: {persistentVolumeName: pv1}}}`
	rt.Verdicts(t, VolumeAttachment(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "no source", Patch: `spec: {source: {persistentVolumeName: null}}`, Want: []string{
			"spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
		}},
		rt.Verdict{Name: "inline disk", Patch: `spec: {source: {persistentVolumeName: null, inlineVolumeSpec: {azureDisk: {diskName: a, diskURI: b}}}}`, Want: []string{
			"spec.source.inlineVolumeSpec.csi: Required value: has to be specified in the context of inline volumes",
			"spec.source.inlineVolumeSpec.accessModes: Required value",
			`spec.source.inlineVolumeSpec.azureDisk.diskURI: Unsupported value: "b": supported values: "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"`,
		}},
		rt.Verdict{Name: "long attacher", Patch: `spec: {attacher: ` + strings.Repeat("x", 64) + `}`, Want: []string{
			"spec.attacher: Too long: may not be more than 63 bytes",
		}},
	)
	rt.UpdateVerdicts(t, VolumeAttachment(), base, rt.Verdict{Name: "moved", Patch: `spec: {nodeName: n2}`, Want: []string{
		`spec: Invalid value: {"Attacher":"example.com","Source":{"PersistentVolumeName":"pv1","InlineVolumeSpec":null},"NodeName":"n2"}: field is immutable`,
	}})
	rt.SubresourceVerdicts(t, VolumeAttachment(), "status", base,
		rt.Verdict{Name: "attached", Patch: `{spec: {nodeName: n2}, status: {attached: true, attachmentMetadata: {a: b}}}`},
		rt.Verdict{Name: "talkative", Patch: `status: {attachError: {message: ` + strings.Repeat("x", 1025) + `}}`, Want: []string{
			"status.attachError.message: Too long: may not be more than 262144 bytes",
		}},
	)
	rt.Columns(t, VolumeAttachment(), "Name", "Attacher", "PV", "Node", "Attached", "Age")
	rt.Cells(t, VolumeAttachment(), base, "a", "example.com", "pv1", "n1", false, "60m")
}

func TestCSIDriver(t *testing.T) {
	t.Parallel()
	const base = `metadata: {name: disk.example.com}`
	rt.Verdicts(t, CSIDriver(), base,
		rt.Verdict{Name: "defaulted"},
		rt.Verdict{Name: "tokens", Patch: `spec: {tokenRequests: [{audience: a, expirationSeconds: 1}, {audience: a}, {audience: b, expirationSeconds: 4294967297}]}`, Want: []string{
			"spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
			`spec.tokenRequests[1].audience: Duplicate value: "a"`,
			"spec.tokenRequests[2].expirationSeconds: Invalid value: 4294967297: may not specify a duration larger than 2^32 seconds",
		}},
		rt.Verdict{Name: "values", Patch: `spec: {fsGroupPolicy: X, volumeLifecycleModes: [Z]}`, Want: []string{
			`spec.fsGroupPolicy: Unsupported value: "X": supported values: "File", "None", "ReadWriteOnceWithFSType"`,
			`spec.volumeLifecycleModes: Unsupported value: "Z": supported values: "Persistent", "Ephemeral"`,
		}},
		rt.Verdict{Name: "secrets without tokens", Patch: `spec: {serviceAccountTokenInSecrets: true}`, Want: []string{
			"spec.serviceAccountTokenInSecrets: Invalid value: true: serviceAccountTokenInSecrets is set but no tokenRequests are specified",
		}},
		rt.Verdict{Name: "long name", Patch: `metadata: {name: ` + strings.Repeat("x", 64) + `}`},
	)
	rt.UpdateVerdicts(t, CSIDriver(), base,
		rt.Verdict{Name: "mutable", Patch: `spec: {podInfoOnMount: true, storageCapacity: true, fsGroupPolicy: File, requiresRepublish: true}`},
		rt.Verdict{Name: "immutable", Patch: `spec: {attachRequired: false, volumeLifecycleModes: [Ephemeral]}`, Want: []string{
			"spec.attachedRequired: Invalid value: false: field is immutable",
			`spec.volumeLifecycleModes: Invalid value: ["Ephemeral"]: field is immutable`,
		}},
	)
	rt.Columns(t, CSIDriver(), "Name", "AttachRequired", "PodInfoOnMount", "StorageCapacity", "TokenRequests", "RequiresRepublish", "Modes", "Age")
	rt.Cells(t, CSIDriver(), `{metadata: {name: d}, spec: {tokenRequests: [{audience: a}, {audience: b}], volumeLifecycleModes: [Persistent, Ephemeral]}}`,
		"d", true, false, false, "a,b", false, "Persistent,Ephemeral", "60m")
}

func TestCSINode(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: n1}, spec: {drivers: [{name: d.example.com, nodeID: n, topologyKeys: [zone]}]}}`
	rt.Verdicts(t, CSINode(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "twice", Patch: `spec: {drivers: [{name: a, nodeID: n, topologyKeys: [k, k]}, {name: a, nodeID: "", topologyKeys: []}]}`, Want: []string{
			`spec.drivers[0]: Duplicate value: "k"`,
			"spec.drivers[1].nodeID: Required value",
			`spec.drivers[1].name: Duplicate value: "a"`,
		}},
	)
	rt.UpdateVerdicts(t, CSINode(), base,
		rt.Verdict{Name: "count", Patch: `spec: {drivers: [{name: d.example.com, nodeID: n, topologyKeys: [zone], allocatable: {count: 5}}]}`},
		rt.Verdict{Name: "removed", Patch: `spec: {drivers: []}`},
		rt.Verdict{Name: "other id", Patch: `spec: {drivers: [{name: d.example.com, nodeID: m, topologyKeys: [zone]}]}`, Want: []string{
			`spec.drivers: Invalid value: {"Name":"d.example.com","NodeID":"m","TopologyKeys":["zone"],"Allocatable":null}: field is immutable`,
		}},
	)
	rt.Columns(t, CSINode(), "Name", "Drivers", "Age")
	rt.Cells(t, CSINode(), base, "n1", int64(1), "60m")
}

func TestCSIStorageCapacity(t *testing.T) {
	t.Parallel()
	const base = `{metadata: {name: a}, storageClassName: fast, capacity: 1Gi}`
	rt.Verdicts(t, CSIStorageCapacity(), base,
		rt.Verdict{Name: "good"},
		rt.Verdict{Name: "negative", Patch: `{capacity: "-1", maximumVolumeSize: "-1"}`, Want: []string{`capacity: Invalid value: "-1": must be greater than or equal to 0`}},
	)
	rt.UpdateVerdicts(t, CSIStorageCapacity(), base, rt.Verdict{Name: "class", Patch: `storageClassName: slow`, Want: []string{
		`storageClassName: Invalid value: "slow": field is immutable`,
	}})
	rt.Columns(t, CSIStorageCapacity(), "Name", "StorageClassName", "Capacity")
	rt.Cells(t, CSIStorageCapacity(), base, "a", "fast", "1Gi")
}
