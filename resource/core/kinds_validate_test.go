package core

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"proa/resource"
)

const labelRule = `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`

func object(t *testing.T, d *resource.Definition, text string) resource.Object {
	t.Helper()
	obj := d.New()
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	d.Default(obj)
	return obj
}

func TestValidateCreate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		def  *resource.Definition
		text string
		want []string
	}{
		"config map": {ConfigMap(), "data: {a/b: x, c: y}\nbinaryData: {c: eQ==}", []string{
			`data[a/b]: Invalid value: "a/b": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')`,
			`data[c]: Invalid value: "c": duplicate of key present in binaryData`}},
		"token secret":      {Secret(), "type: kubernetes.io/service-account-token", []string{`metadata.annotations[kubernetes.io/service-account.name]: Required value`}},
		"docker secret":     {Secret(), "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: nope}", []string{`data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character 'o' in literal null (expecting 'u')`}},
		"old docker secret": {Secret(), "type: kubernetes.io/dockercfg", []string{`data[.dockercfg]: Required value`}},
		"basic auth":        {Secret(), "type: kubernetes.io/basic-auth", []string{`data[username]: Required value`, `data[password]: Required value`}},
		"ssh":               {Secret(), "type: kubernetes.io/ssh-auth", []string{`data[ssh-privatekey]: Required value`}},
		"tls":               {Secret(), "type: kubernetes.io/tls", []string{`data[tls.crt]: Required value`, `data[tls.key]: Required value`}},
		"namespace": {Namespace(), "spec: {finalizers: [mine]}", []string{
			`spec.finalizers: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified`}},
		"node": {Node(), "spec: {podCIDRs: [x, 10.0.0.0/24], taints: [{key: k, effect: NoSchedule}, {key: k, effect: NoSchedule}, {key: k}]}\nstatus: {capacity: {pods: 1500m, cpu: -1}}", []string{
			`metadata.taints[1]: Duplicate value: {"key":"k","effect":"NoSchedule"}: taints must be unique by key and effect pair`,
			`metadata.taints[2].effect: Required value`,
			`status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0`,
			`status.capacity.pods: Invalid value: "1500m": must be an integer`,
			`status.allocatable.cpu: Invalid value: "-1": must be greater than or equal to 0`,
			`status.allocatable.pods: Invalid value: "1500m": must be an integer`,
			`spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)`,
			`spec.podCIDRs: Internal error: invalid PodCIDRs. failed to check with dual stack with error:invalid CIDR[0]: <nil> (invalid CIDR address: x)`,
			`spec.podCIDRs: Invalid value: ["x","10.0.0.0/24"]: may specify no more than one CIDR for each IP family`}},
		"event of another namespace": {Event(), "metadata: {namespace: a}\ninvolvedObject: {namespace: b}", []string{
			`involvedObject.namespace: Invalid value: "b": does not match event.namespace`}},
		"event of the new API": {Event(), "metadata: {namespace: a}\ninvolvedObject: {namespace: a}\neventTime: 2026-01-01T00:00:00.000000Z", []string{
			`reportingComponent: Required value`,
			`reportingComponent: Invalid value: "": name part must be non-empty`,
			`reportingComponent: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
			`reportingInstance: Required value`, `action: Required value`, `reason: Required value`}},
		"service": {Service(), "spec: {type: Nope, ports: [{port: 80}, {port: 80, name: A, nodePort: 1}], externalIPs: [127.0.0.1, x], loadBalancerClass: a}", []string{
			`spec.ports[0].name: Required value`,
			`spec.ports[1].name: Invalid value: "A": ` + labelRule,
			`spec.externalIPs[0]: Invalid value: "127.0.0.1": may not be in the loopback range (127.0.0.0/8, ::1/128)`,
			`spec.externalIPs[1]: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`,
			`spec.type: Unsupported value: "Nope": supported values: "ClusterIP", "ExternalName", "LoadBalancer", "NodePort"`,
			`spec.ports[1]: Duplicate value: {"protocol":"TCP","port":80,"targetPort":0}`,
			"spec.loadBalancerClass: Forbidden: may only be used when `type` is 'LoadBalancer'"}},
		"service without ports": {Service(), "spec: {clusterIP: 10.0.0.300, clusterIPs: [10.0.0.300]}", []string{
			`spec.ports: Required value`,
			`spec.clusterIPs[0]: Invalid value: "10.0.0.300": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)`}},
		"service with odd addresses": {Service(), "spec: {type: LoadBalancer, clusterIPs: [10.0.0.1], ports: [{port: 80}], externalIPs: [010.0.0.1], loadBalancerSourceRanges: [' 010.0.0.0/8']}", []string{
			"spec.clusterIPs: Invalid value: [\"10.0.0.1\"]: must be empty when `clusterIP` is not specified",
			`spec.externalIPs[0]: Invalid value: "010.0.0.1": must not have leading 0s`,
			`spec.LoadBalancerSourceRanges[0]: Invalid value: "010.0.0.0/8": must not have leading 0s in IP or prefix length`}},
		"external name": {Service(), "spec: {type: ExternalName, externalName: '', clusterIPs: [None]}", []string{
			`spec.clusterIPs: Forbidden: may not be set for ExternalName services`, `spec.externalName: Required value`}},
		"node port of a cluster IP": {Service(), "spec: {ports: [{port: 80, nodePort: 30000}], externalTrafficPolicy: Local, trafficDistribution: Far}", []string{
			"spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
			`spec.externalTrafficPolicy: Invalid value: "Local": may only be set for externally-accessible services`,
			`spec.trafficDistribution: Unsupported value: "Far": supported values: "PreferClose", "PreferSameZone", "PreferSameNode"`}},
		"node status": {Node(), "status: {declaredFeatures: [B, A, A, b], nodeInfo: {swap: {capacity: 0}}}", []string{
			`metadata.nodeSwapStatus.capacity: Invalid value: 0: must be greater than zero`,
			`status.declaredFeatures[1]: Invalid value: "A": list must be sorted alphabetically`,
			`status.declaredFeatures[2]: Duplicate value: "A"`,
			`status.declaredFeatures[3]: Invalid value: "b": invalid feature name "b": must start with an UpperCamelCase segment, with subsequent segments separated by '/' (e.g., MyFeature or MyFeature/mySubFeature), and contain only alphanumeric characters and slashes`}},
		"endpoints of odd addresses": {Endpoints(), "subsets: [{addresses: [{ip: 010.0.0.1}]}]", []string{
			`subsets[0].addresses[0].ip: Invalid value: "010.0.0.1": must not have leading 0s`}},
		"endpoints": {Endpoints(), "subsets: [{}, {addresses: [{ip: 169.254.1.1, nodeName: A}], ports: [{port: 0}, {port: 1, name: a}]}]", []string{
			"subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`",
			`subsets[1].addresses[0].nodeName: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
			`subsets[1].addresses[0].ip: Invalid value: "169.254.1.1": may not be in the link-local range (169.254.0.0/16, fe80::/10)`,
			`subsets[1].ports[0].name: Required value`,
			`subsets[1].ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive`}},
		"replication controller": {ReplicationController(), "spec: {replicas: -1, selector: {a: b}, template: {metadata: {labels: {a: c}}, spec: {restartPolicy: Never, activeDeadlineSeconds: 1, containers: [{name: a, image: x}]}}}", []string{
			`spec.replicas: Invalid value: -1: must be greater than or equal to 0`,
			"spec.template.metadata.labels: Invalid value: {\"a\":\"c\"}: `selector` does not match template `labels`",
			`spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"`,
			`spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in ReplicationController is not Supported`}},
		"quota": {ResourceQuota(), "spec: {hard: {foo: 1, pods: 1500m, services: 1}, scopes: [BestEffort, NotBestEffort]}", []string{
			`spec.hard[foo]: Invalid value: "foo": must be a standard resource type or fully qualified`,
			`spec.hard[foo]: Invalid value: "foo": must be a standard resource for quota`,
			`spec.hard[pods]: Invalid value: "1500m": must be an integer`,
			`spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource`,
			`spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: unsupported scope applied to resource`,
			`spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes`}},
		"scoped quota": {ResourceQuota(), "spec: {hard: {pods: 1}, scopeSelector: {matchExpressions: [{scopeName: PriorityClass, operator: In}, {scopeName: Terminating, operator: In, values: [a]}]}}", []string{
			"spec.scopeSelector.matchExpressions.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
			`spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity`}},
		"limit range": {LimitRange(), "spec: {limits: [{type: Pod, max: {cpu: 1}, min: {cpu: 2}, default: {cpu: 1}, maxLimitRequestRatio: {cpu: 500m}}, {type: PersistentVolumeClaim}, {type: Nope}]}", []string{
			"spec.limits[0].default: Forbidden: may not be specified when `type` is 'Pod'",
			`spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1`,
			`spec.limits[0].maxLimitRequestRatio[cpu]: Invalid value: "500m": ratio 500m is less than 1`,
			`spec.limits[1].limits: Required value: either minimum or maximum storage value is required, but neither was provided`,
			`spec.limits[2].type: Invalid value: "Nope": must be a standard limit type or fully qualified`}},
		"persistent volume": {PersistentVolume(), "spec: {capacity: {storage: 0}, local: {path: /a/../b}, accessModes: [ReadWriteOncePod, ReadWriteOnce, Sometimes]}", []string{
			`spec.accessModes: Unsupported value: "Sometimes": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"`,
			`spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes`,
			`spec.capacity[storage]: Invalid value: "0": must be greater than zero`,
			`spec.local.path: Invalid value: "/a/../b": must not contain '..'`,
			`spec.nodeAffinity: Required value: Local volume requires node affinity`}},
		"empty persistent volume": {PersistentVolume(), "{}", []string{
			`spec.accessModes: Required value`, `spec.capacity: Required value`,
			`spec.capacity: Unsupported value: null: supported values: "storage"`,
			`spec: Required value: must specify a volume type`}},
		"claim": {PersistentVolumeClaim(), "spec: {storageClassName: '?', dataSource: {kind: A, name: b}, dataSourceRef: {kind: A, name: c, apiGroup: x.io}}", []string{
			`spec.accessModes: Required value: at least 1 access mode is required`,
			`spec.resources[storage]: Required value`,
			`spec.storageClassName: Invalid value: "?": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
			`spec.dataSource: Invalid value: "A": must be 'PersistentVolumeClaim' when referencing the default apiGroup`,
			`spec: Invalid value: {}: must match dataSourceRef`}},
		"pod template": {PodTemplate(), "template: {spec: {containers: [{name: A, image: x}]}}", []string{`template.spec.containers[0].name: Invalid value: "A": ` + labelRule}},
	} {
		wantErrors(t, name, c.def.Validate(object(t, c.def, c.text)), c.want...)
	}
}

func TestValidateUpdates(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		def      *resource.Definition
		sub      string
		old, now string
		want     []string
	}{
		"immutable config map": {ConfigMap(), "", "immutable: true\ndata: {a: b}", "data: {a: c}", []string{
			"immutable: Forbidden: field is immutable when `immutable` is set", "data: Forbidden: field is immutable when `immutable` is set"}},
		"type of a secret": {Secret(), "", "type: a", "type: b", []string{`type: Invalid value: "b": field is immutable`}},
		"phase of a namespace": {Namespace(), "status", "status: {phase: Active}", "status: {phase: Terminating}", []string{
			"status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"}},
		"finalizers of a namespace": {Namespace(), "finalize", "{}", "spec: {finalizers: [mine]}", []string{
			`spec.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified`}},
		"addresses of a node": {Node(), "status", "spec: {providerID: a, podCIDRs: [10.0.0.0/24]}", "spec: {providerID: b}\nstatus: {addresses: [{type: Hostname, address: a}, {type: Hostname, address: a}]}", []string{
			`status.addresses[1]: Duplicate value: {"type":"Hostname","address":"a"}`,
			`spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid`,
			`spec.providerID: Forbidden: node updates may not change providerID except from "" to valid`}},
		"cluster IP": {Service(), "", "spec: {ports: [{port: 80}], clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1]}", "spec: {ports: [{port: 80}], clusterIP: 10.0.0.2, clusterIPs: [10.0.0.2]}", []string{
			`spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set`}},
		"ingress of a service": {Service(), "status", "spec: {ports: [{port: 80}]}", "spec: {ports: [{port: 80}]}\nstatus: {loadBalancer: {ingress: [{ip: 1.2.3.4}]}}", []string{
			"status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"}},
		"scopes of a quota": {ResourceQuota(), "", "spec: {scopes: [BestEffort]}", "spec: {}", []string{`spec.scopes: Invalid value: null: field is immutable`}},
		"replicas of a controller": {ReplicationController(), "status", "{}", "status: {replicas: 1, readyReplicas: 2}", []string{
			`status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas`}},
		"restart of what has ended": {Pod(), "status",
			"spec: {restartPolicy: Never, containers: [{name: a, image: x}]}\nstatus: {containerStatuses: [{name: a, ready: false, restartCount: 0, image: x, imageID: x, state: {terminated: {exitCode: 0}}}]}",
			"spec: {restartPolicy: Never, containers: [{name: a, image: x}]}\nstatus: {containerStatuses: [{name: a, ready: true, restartCount: 0, image: x, imageID: x, state: {running: {}}}]}", []string{
				`status.containerStatuses[0].state: Forbidden: may not be transitioned to non-terminated state`}},
		"status of a pod": {Pod(), "status", "spec: {nodeName: n, containers: [{name: a, image: x}]}\nstatus: {podIP: 010.0.0.1, podIPs: [{ip: 010.0.0.1}]}",
			"spec: {nodeName: n, containers: [{name: a, image: x}]}\nstatus: {podIP: 010.0.0.1, podIPs: [{ip: 010.0.0.1}], hostIP: 010.0.0.2, hostIPs: [{ip: 010.0.0.2}], nominatedNodeName: m, observedGeneration: -1, conditions: [{type: /, observedGeneration: -1}], extendedResourceClaimStatus: {requestMappings: [{containerName: b, requestName: r}]}}", []string{
				`status.conditions[0].observedGeneration: Invalid value: -1: must be a non-negative integer`,
				`status.conditions[0].Type: Invalid value: "/": prefix part must be non-empty`,
				`status.conditions[0].Type: Invalid value: "/": name part must be non-empty`,
				`status.conditions[0].Type: Invalid value: "/": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`,
				`status.nominatedNodeName: Forbidden: may not be set on pods that are already bound to a node`,
				`status.observedGeneration: Invalid value: -1: must be a non-negative integer`,
				`status.extendedResourceClaimStatus.requestMappings[0].containerName: Invalid value: "b": must match the name of an entry in spec.initContainers.name or spec.containers.name`,
				`status.extendedResourceClaimStatus.resourceClaimName: Required value`,
				`status.hostIPs[0]: Invalid value: "010.0.0.2": must not have leading 0s`}},
		"resizing a claim": {PersistentVolumeClaim(), "status", "spec: {accessModes: [ReadWriteOnce]}", "spec: {accessModes: [ReadWriteOnce]}\nstatus: {allocatedResourceStatuses: {storage: No}}", []string{
			`status.allocatedResourceStatuses: Unsupported value: "storage": supported values: "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"`}},
		"ephemeral container changed": {Pod(), "ephemeralcontainers", "spec: {containers: [{name: a, image: x}], ephemeralContainers: [{name: e, image: x}]}", "spec: {containers: [{name: a, image: x}]}", []string{
			"spec.ephemeralContainers: Forbidden: existing ephemeral containers \"e\" may not be removed\n"}},
		"resize to another class": {Pod(), "resize",
			"spec: {containers: [{name: a, image: x, resources: {requests: {cpu: 1}}}]}",
			"spec: {containers: [{name: a, image: x, resources: {}}]}", []string{
				`spec: Invalid value: "": Pod QOS Class may not change as a result of resizing`,
				`spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed`}},
		"resize": {Pod(), "resize",
			"spec: {containers: [{name: a, image: x, resources: {requests: {cpu: 1}}}]}",
			"spec: {containers: [{name: a, image: x, resources: {requests: {cpu: 2}}}]}", nil},
		"growing a claim": {PersistentVolumeClaim(), "",
			"spec: {accessModes: [ReadWriteOnce], volumeName: v, resources: {requests: {storage: 1Gi}}}\nstatus: {phase: Bound, capacity: {storage: 1Gi}}",
			"spec: {accessModes: [ReadWriteOnce], volumeName: v, resources: {requests: {storage: 2Gi}}}\nstatus: {phase: Bound, capacity: {storage: 1Gi}}", nil},
		"shrinking a claim": {PersistentVolumeClaim(), "",
			"spec: {accessModes: [ReadWriteOnce], volumeName: v, resources: {requests: {storage: 2Gi}}}\nstatus: {phase: Bound, capacity: {storage: 2Gi}}",
			"spec: {accessModes: [ReadWriteOnce], volumeName: v, resources: {requests: {storage: 1Gi}}}\nstatus: {phase: Bound, capacity: {storage: 2Gi}}", []string{
				`spec.resources.requests.storage: Forbidden: field can not be less than status.capacity`}},
	} {
		const head = "metadata: {name: a, namespace: b, resourceVersion: \"1\"}\n"
		whole := func(text string) string {
			if text == "{}" {
				return head
			}
			return head + text
		}
		old, now := object(t, c.def, whole(c.old)), object(t, c.def, whole(c.now))
		check := c.def.ValidateUpdate
		if c.sub != "" {
			check = c.def.Updates[c.sub].ValidateUpdate
		}
		wantErrors(t, name, check(now, old), c.want...)
	}
}

// TestStoredObjectsMayKeepWhatTheyHave: rules that came later do not hold for
// what was there before.
func TestStoredObjectsMayKeepWhatTheyHave(t *testing.T) {
	t.Parallel()
	old := &corev1.PodTemplateSpec{}
	if err := yaml.UnmarshalStrict([]byte(`
metadata: {annotations: {controller.kubernetes.io/pod-deletion-cost: "007"}}
spec:
  hostNetwork: true
  securityContext: {sysctls: [{name: net.ipv4.ip_forward, value: "1"}]}
  containers: [{name: a, image: x, resources: {limits: {memory: 1Gi, hugepages-2Mi: 3Mi}, requests: {memory: 1Gi, hugepages-2Mi: 3Mi}}}]
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {a: "?"}}}]
  affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: z, labelSelector: {matchExpressions: [{key: a, operator: In, values: ["?"]}]}}]}}
`), old); err != nil {
		t.Fatal(err)
	}
	DefaultPodSpec(&old.Spec)
	at := field.NewPath("template")
	if errs := ValidatePodTemplateSpec(old, at, TemplateOptions(nil)); len(errs) < 5 {
		t.Errorf("a new template with all that is wrong: %v", errs)
	}
	wantErrors(t, "the same, stored", ValidatePodTemplateSpec(old, at, TemplateOptions(old)))
}

// TestSourcesOfClaims: what is neither a claim nor a snapshot was always ignored
// in the older field.
func TestSourcesOfClaims(t *testing.T) {
	t.Parallel()
	d := PersistentVolumeClaim()
	for text, want := range map[string]bool{
		"spec: {dataSource: {kind: PersistentVolumeClaim, name: a}}":                                true,
		"spec: {dataSource: {kind: VolumeSnapshot, apiGroup: snapshot.storage.k8s.io, name: a}}":    true,
		"spec: {dataSource: {kind: A, name: a}}":                                                    false,
		"spec: {dataSource: {kind: VolumeSnapshot, apiGroup: other.io, name: a}}":                   false,
		"spec: {dataSource: {kind: A, name: a}, dataSourceRef: {kind: A, apiGroup: x.io, name: a}}": true,
		"spec: {dataSourceRef: {kind: A, apiGroup: x.io, name: a}}":                                 true,
	} {
		c := object(t, d, text).(*corev1.PersistentVolumeClaim)
		d.PrepareCreate(&resource.Request{}, c)
		if got := c.Spec.DataSource != nil && c.Spec.DataSourceRef != nil; got != want {
			t.Errorf("%s: kept is %v", text, got)
		}
	}
}

func TestLimitRangeNeedsNoName(t *testing.T) {
	t.Parallel()
	l := object(t, LimitRange(), "{}").(*corev1.LimitRange)
	l.Name, l.UID = "", "u"
	LimitRange().PrepareCreate(&resource.Request{}, l)
	if l.Name != "u" {
		t.Errorf("it is called %q", l.Name)
	}
}

func TestEventNames(t *testing.T) {
	t.Parallel()
	d := Event()
	for _, name := range []string{"system:a.1", "A"} {
		if why := d.ValidateName(name, false); len(why) > 0 {
			t.Errorf("%s: %v", name, why)
		}
	}
	if d.ValidateName("a/b", false) == nil {
		t.Error("a slash is let in")
	}
}
