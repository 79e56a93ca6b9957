package core

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"proa/resource"
)

// parse makes an object of YAML, with defaults.
func parse[T resource.Object](t *testing.T, d *resource.Definition, text string) T {
	t.Helper()
	obj := d.New()
	if err := yaml.UnmarshalStrict([]byte(text), obj); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	d.Default(obj)
	return obj.(T)
}

func wantErrors(t *testing.T, name string, errs field.ErrorList, want ...string) {
	t.Helper()
	got := make([]string, len(errs))
	for i, e := range errs {
		got[i] = e.Error()
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s: got\n\t%s\nwant\n\t%s", name, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

func TestValidatePod(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spec string
		want []string
	}{
		"good": {`{containers: [{name: a, image: nginx}]}`, nil},
		"no containers": {`{}`, []string{
			`spec.containers: Required value`}},
		"container name": {`{containers: [{name: helloNginx, image: nginx}]}`, []string{
			`spec.containers[0].name: Invalid value: "helloNginx": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`}},
		"no image, no name": {`{containers: [{}]}`, []string{
			`spec.containers[0].name: Required value`,
			`spec.containers[0].image: Required value`}},
		"image with blanks": {`{containers: [{name: a, image: " nginx"}]}`, []string{
			`spec.containers[0].image: Invalid value: " nginx": must not have leading or trailing whitespace`}},
		"resources of the pod": {`{containers: [{name: a, image: x, resources: {requests: {cpu: 2}}}], resources: {claims: [{name: c}], requests: {cpu: 1}}}`, []string{
			`spec.resources.claims: Forbidden: claims may not be set for Resources at pod-level`,
			`spec.resources.claims[0]: Not found: "c": must be one of the names in pod.spec.resourceClaims which is empty`,
			`spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container requests of 2`}},
		"no resources of the pod": {`{containers: [{name: a, image: x, resources: {requests: {cpu: 2}, limits: {cpu: 2}}}], resources: {}}`, nil},
		"name of the host": {`{hostNetwork: true, setHostnameAsFQDN: true, hostnameOverride: a, containers: [{name: a, image: x}]}`, []string{
			`spec.hostnameOverride: Forbidden: may not be specified when setHostnameAsFQDN is true`,
			`spec.hostnameOverride: Forbidden: may not be specified when hostNetwork is true`}},
		"what is off": {`{securityContext: {seLinuxChangePolicy: MountOption}, tolerations: [{key: a, operator: Gt, value: "1"}], containers: [{name: a, image: x}]}`, []string{
			`spec.securityContext.seLinuxChangePolicy: Unsupported value: "MountOption": supported values: "Recursive"`,
			`spec.tolerations[0].operator: Unsupported value: "Gt": supported values: "Equal", "Exists", "Lt", "Gt"`}},
		"file of no volume": {`{containers: [{name: a, image: x, env: [{name: A, valueFrom: {fileKeyRef: {key: A, path: b}}}]}]}`, []string{
			`spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Required value`,
			`spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: Not found: ""`}},
		"odd addresses": {`{hostAliases: [{ip: 010.0.0.1}], dnsConfig: {nameservers: ["::ffff:1.2.3.4"]}, containers: [{name: a, image: x}]}`, []string{
			`spec.dnsConfig.nameservers[0]: Invalid value: "::ffff:1.2.3.4": must not be an IPv4-mapped IPv6 address`,
			`spec.hostAliases[0].ip: Invalid value: "010.0.0.1": must not have leading 0s`}},
		"rules without a policy": {`{initContainers: [{name: i, image: x, restartPolicyRules: [{action: No}]}], containers: [{name: a, image: x}]}`, []string{
			`spec.initContainers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used`}},
		"name of an interface": {`{volumes: [{name: v, iscsi: {targetPortal: "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a:3260", iqn: "iqn.2001-04.com.example:a", lun: 0, initiatorName: "iqn.2001-04.com.example:b"}}], containers: [{name: a, image: x}]}`, []string{
			`spec.volumes[0].name: Invalid value: "v": Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if iscsi.initiatorName is specified.`}},
		"users of the host": {`{hostUsers: false, hostPID: true, hostIPC: true, restartPolicy: Never, containers: [{name: a, image: x, resizePolicy: [{resourceName: cpu, restartPolicy: RestartContainer}]}]}`, []string{
			"spec.containers[0].resizePolicy: Invalid value: \"RestartContainer\": must be 'NotRequired' when pod `restartPolicy` is 'Never'",
			"spec.HostPID: Forbidden: when `hostUsers` is false",
			"spec.HostIPC: Forbidden: when `hostUsers` is false"}},
		"two sources": {`{volumes: [{name: v, emptyDir: {}, azureDisk: {diskName: a, diskURI: b}}], containers: [{name: a, image: x}]}`, []string{
			`spec.volumes[0].azureDisk: Forbidden: may not specify more than 1 volume type`}},
		"names twice": {`{containers: [{name: a, image: x}, {name: a, image: x}], initContainers: [{name: a, image: x}]}`, []string{
			`spec.containers[1].name: Duplicate value: "a"`,
			`spec.initContainers[0].name: Duplicate value: "a"`}},
		"ports": {`{containers: [{name: a, image: x, ports: [{containerPort: 0}, {containerPort: 70000, name: TOO, protocol: ICMP}, {containerPort: 80, hostPort: 8080}, {containerPort: 81, hostPort: 8080}]}]}`, []string{
			`spec.containers[0].ports[0].containerPort: Required value`,
			`spec.containers[0].ports[1].name: Invalid value: "TOO": must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)`,
			`spec.containers[0].ports[1].name: Invalid value: "TOO": must contain at least one letter (a-z)`,
			`spec.containers[0].ports[1].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive`,
			`spec.containers[0].ports[1].protocol: Unsupported value: "ICMP": supported values: "SCTP", "TCP", "UDP"`,
			`spec.containers[0].ports[3].hostPort: Duplicate value: "TCP//8080"`}},
		"mount of nothing": {`{containers: [{name: a, image: x, volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /v}]}]}`, []string{
			`spec.containers[0].volumeMounts[0].name: Not found: "v"`,
			`spec.containers[0].volumeMounts[1].name: Not found: "v"`,
			`spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/v": must be unique`}},
		"resources": {`{containers: [{name: a, image: x, resources: {limits: {cpu: "1", memory: -1, foo: "1"}, requests: {cpu: "2", example.com/gpu: "1"}}}]}`, []string{
			`spec.containers[0].resources.limits[foo]: Invalid value: "foo": must be a standard resource type or fully qualified`,
			`spec.containers[0].resources.limits[foo]: Invalid value: "foo": must be a standard resource for containers`,
			`spec.containers[0].resources.limits[memory]: Invalid value: "-1": must be greater than or equal to 0`,
			`spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1`,
			`spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources`,
			`spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource type or fully qualified`,
			`spec.containers[0].resources.requests[foo]: Invalid value: "foo": must be a standard resource for containers`,
			`spec.containers[0].resources.requests[memory]: Invalid value: "-1": must be greater than or equal to 0`}},
		"probes": {`{containers: [{name: a, image: x, livenessProbe: {httpGet: {path: /, port: 0}, successThreshold: 2}, readinessProbe: {exec: {command: [x]}, tcpSocket: {port: 80}, periodSeconds: -1}, startupProbe: {}}]}`, []string{
			`spec.containers[0].livenessProbe.httpGet.port: Invalid value: 0: must be between 1 and 65535, inclusive`,
			`spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1`,
			`spec.containers[0].readinessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type`,
			`spec.containers[0].readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0`,
			`spec.containers[0].startupProbe: Required value: must specify a handler type`}},
		"init container with probe": {`{containers: [{name: a, image: x}], initContainers: [{name: i, image: x, readinessProbe: {exec: {command: [x]}}}, {name: s, image: x, restartPolicy: Always, readinessProbe: {exec: {command: [x]}}}]}`, []string{
			`spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always`}},
		"environment": {`{containers: [{name: a, image: x, env: [{name: ""}, {name: "a=b"}, {name: c, value: v, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: d, valueFrom: {fieldRef: {fieldPath: spec.nope}}}, {name: e, valueFrom: {fieldRef: {fieldPath: status.phase}}}, {name: f, valueFrom: {}}]}]}`, []string{
			`spec.containers[0].env[0].name: Required value`,
			`spec.containers[0].env[1].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='`,
			`spec.containers[0].env[2].valueFrom: Invalid value: "": may not be specified when ` + "`value`" + ` is not empty`,
			`spec.containers[0].env[3].valueFrom.fieldRef.fieldPath: Invalid value: "spec.nope": error converting fieldPath: field label not supported: spec.nope`,
			`spec.containers[0].env[4].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"`,
			"spec.containers[0].env[5].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"}},
		"policies": {`{containers: [{name: a, image: x, imagePullPolicy: Sometimes}], restartPolicy: Maybe, dnsPolicy: None}`, []string{
			`spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"`,
			`spec.restartPolicy: Unsupported value: "Maybe": supported values: "Always", "OnFailure", "Never"`,
			"spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"}},
		"volumes": {`{containers: [{name: a, image: x}], volumes: [{name: V}, {name: a, hostPath: {path: /../x, type: Nope}}, {name: b, configMap: {name: c, defaultMode: 1000}, secret: {secretName: s}}]}`, []string{
			`spec.volumes[0].name: Invalid value: "V": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`,
			`spec.volumes[1].hostPath.path: Invalid value: "/../x": must not contain '..'`,
			`spec.volumes[1].hostPath.type: Unsupported value: "Nope": supported values: "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"`,
			`spec.volumes[2].configMap: Forbidden: may not specify more than 1 volume type`}},
		"tolerations": {`{containers: [{name: a, image: x}], tolerations: [{operator: Equal}, {key: k, operator: Exists, value: v, effect: Never, tolerationSeconds: 1}]}`, []string{
			`spec.tolerations[0].operator: Invalid value: "Equal": operator must be Exists when ` + "`key`" + ` is empty, which means "match all values and all keys"`,
			`spec.tolerations[1].effect: Invalid value: "Never": effect must be 'NoExecute' when ` + "`tolerationSeconds`" + ` is set`,
			`spec.tolerations[1].operator: Invalid value: "v": value must be empty when ` + "`operator`" + ` is 'Exists'`,
			`spec.tolerations[1].effect: Unsupported value: "Never": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute"`}},
		"spread": {`{containers: [{name: a, image: x}], topologySpreadConstraints: [{maxSkew: 0, whenUnsatisfiable: Panic, topologyKey: zone, minDomains: 0}]}`, []string{
			`spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than zero`,
			`spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Panic": supported values: "DoNotSchedule", "ScheduleAnyway"`,
			`spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: must be greater than zero`,
			`spec.topologySpreadConstraints[0].minDomains: Invalid value: 0: can only use minDomains if whenUnsatisfiable=DoNotSchedule, not Panic`}},
		"security": {`{containers: [{name: a, image: x, securityContext: {runAsUser: -1, privileged: true, allowPrivilegeEscalation: false, seccompProfile: {type: Localhost}}}], securityContext: {sysctls: [{name: "a b", value: x}], appArmorProfile: {type: Localhost, localhostProfile: ""}}}`, []string{
			`spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive`,
			`spec.containers[0].securityContext.seccompProfile.localhostProfile: Required value: must be set when seccomp type is Localhost`,
			`spec.containers[0].securityContext: Invalid value: {"privileged":true,"runAsUser":-1,"allowPrivilegeEscalation":false,"seccompProfile":{"type":"Localhost"}}: cannot set ` + "`allowPrivilegeEscalation` to false and `privileged` to true",
			`spec.securityContext.sysctls[0].name: Invalid value: "a b": must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$`,
			`spec.securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is Localhost`}},
		"ephemeral containers": {`{containers: [{name: a, image: x}], ephemeralContainers: [{name: e, image: x, ports: [{containerPort: 1}], targetContainerName: z}]}`, []string{
			`spec.ephemeralContainers[0].targetContainerName: Not found: "z"`,
			`spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container`,
			`spec.ephemeralContainers: Forbidden: cannot be set on create`}},
		"host network": {`{hostNetwork: true, containers: [{name: a, image: x, ports: [{containerPort: 80, hostPort: 81}]}]}`, []string{
			"spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"}},
		"names": {`{containers: [{name: a, image: x}], nodeName: "a b", hostname: A, activeDeadlineSeconds: 0, serviceAccountName: "?"}`, []string{
			`spec.serviceAccountName: Invalid value: "?": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
			`spec.nodeName: Invalid value: "a b": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
			`spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive`,
			`spec.hostname: Invalid value: "A": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`}},
		"affinity": {`{containers: [{name: a, image: x}], affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: k, operator: In}, {key: k, operator: Near}]}]}}, podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 101, podAffinityTerm: {topologyKey: ""}}]}}}`, []string{
			`spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].values: Required value: must be specified when ` + "`operator`" + ` is 'In' or 'NotIn'`,
			`spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[1].operator: Invalid value: "Near": not a valid selector operator`,
			`spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].weight: Invalid value: 101: must be in the range 1-100`,
			`spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Required value: can not be empty`,
			`spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Invalid value: "": name part must be non-empty`,
			`spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey: Invalid value: "": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')`}},
	} {
		p := parse[*corev1.Pod](t, Pod(), "metadata: {name: p, namespace: default}\nspec: "+c.spec)
		wantErrors(t, name, ValidatePod(p), c.want...)
	}
}

func TestValidateTemplatePath(t *testing.T) {
	t.Parallel()
	tmpl := &corev1.PodTemplateSpec{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "helloNginx", Image: "nginx"}}}}
	DefaultPodSpec(&tmpl.Spec)
	wantErrors(t, "template", ValidatePodTemplateSpec(tmpl, field.NewPath("spec", "template"), PodSpecOptions{}),
		`spec.template.spec.containers[0].name: Invalid value: "helloNginx": a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')`)
}

func TestValidatePodUpdate(t *testing.T) {
	t.Parallel()
	const base = `{containers: [{name: a, image: x}], activeDeadlineSeconds: 10, tolerations: [{key: k, operator: Exists}]}`
	for name, c := range map[string]struct {
		spec string
		want []string
		diff bool // the last message goes on with a difference
	}{
		"image and toleration":    {`{containers: [{name: a, image: y}], activeDeadlineSeconds: 5, tolerations: [{key: k, operator: Exists, effect: NoExecute, tolerationSeconds: 3}, {key: k, operator: Exists}]}`, nil, false},
		"container added":         {`{containers: [{name: a, image: x}, {name: b, image: x}], activeDeadlineSeconds: 10, tolerations: [{key: k, operator: Exists}]}`, []string{`spec.containers: Forbidden: pod updates may not add or remove containers`}, false},
		"deadline raised":         {`{containers: [{name: a, image: x}], activeDeadlineSeconds: 11, tolerations: [{key: k, operator: Exists}]}`, []string{`spec.activeDeadlineSeconds: Invalid value: 11: must be less than or equal to previous value`}, false},
		"deadline gone":           {`{containers: [{name: a, image: x}], tolerations: [{key: k, operator: Exists}]}`, []string{`spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive integer to nil value`}, false},
		"toleration gone":         {`{containers: [{name: a, image: x}], activeDeadlineSeconds: 10}`, []string{`spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds`}, false},
		"gate added":              {`{containers: [{name: a, image: x}], activeDeadlineSeconds: 10, tolerations: [{key: k, operator: Exists}], schedulingGates: [{name: g}]}`, []string{`spec.schedulingGates[0].name: Forbidden: only deletion is allowed, but found new scheduling gate 'g'`}, false},
		"something else (a name)": {`{containers: [{name: a, image: x}], activeDeadlineSeconds: 10, tolerations: [{key: k, operator: Exists}], hostname: h}`, []string{"spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"}, true},
	} {
		const head = "metadata: {name: p, namespace: default, resourceVersion: \"1\"}\nspec: "
		old := parse[*corev1.Pod](t, Pod(), head+base)
		p := parse[*corev1.Pod](t, Pod(), head+c.spec)
		errs := validatePodUpdate(p, old)
		if c.diff && len(errs) > 0 {
			last := errs[len(errs)-1]
			var tail string
			last.Detail, tail, _ = strings.Cut(last.Detail, "\n")
			if !strings.Contains(tail, "Hostname") {
				t.Errorf("%s: the difference does not name the field: %s", name, tail)
			}
		}
		wantErrors(t, name, errs, c.want...)
	}
}

func TestPodStrategy(t *testing.T) {
	t.Parallel()
	d := Pod()
	p := parse[*corev1.Pod](t, d, `
metadata: {name: p, namespace: default, generation: 7, labels: {v: "1"}}
spec:
  containers: [{name: a, image: "nginx:1.25", resources: {limits: {cpu: "1", memory: 1Gi}}}]
  securityContext: {appArmorProfile: {type: Unconfined}}
  schedulingGates: [{name: g}]
  schedulingGroup: {podGroupName: x}
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: z, whenUnsatisfiable: DoNotSchedule, labelSelector: {}, matchLabelKeys: [v]}]
status: {phase: Running, podIP: 1.2.3.4}
`)
	d.PrepareCreate(&resource.Request{Now: metav1.Unix(1, 0)}, p)
	if p.Generation != 1 || p.Status.Phase != corev1.PodPending || p.Status.PodIP != "" || p.Status.QOSClass != corev1.PodQOSGuaranteed {
		t.Errorf("a new pod begins with generation %d and status %+v", p.Generation, p.Status)
	}
	if len(p.Status.Conditions) != 1 || p.Status.Conditions[0].Reason != corev1.PodReasonSchedulingGated || p.Status.Conditions[0].LastTransitionTime != metav1.Unix(1, 0) {
		t.Errorf("a gated pod has conditions %+v", p.Status.Conditions)
	}
	if p.Spec.SchedulingGroup != nil {
		t.Error("a field of a feature that is off is kept")
	}
	if len(p.Annotations) != 0 {
		t.Errorf("an AppArmor profile became annotations %v", p.Annotations)
	}
	if e := p.Spec.TopologySpreadConstraints[0].LabelSelector.MatchExpressions; len(e) != 1 || e[0].Values[0] != "1" {
		t.Errorf("matchLabelKeys became %+v", e)
	}
	wantErrors(t, "after the merge", d.Validate(p))
	if late := parse[*corev1.Pod](t, d, "spec: {terminationGracePeriodSeconds: -1, containers: [{name: a, image: x}]}"); *late.Spec.TerminationGracePeriodSeconds != 1 {
		t.Errorf("a negative grace period became %d", *late.Spec.TerminationGracePeriodSeconds)
	}

	next := p.DeepCopy()
	next.Spec.SchedulingGates = nil
	next.Status.Phase = corev1.PodRunning
	d.PrepareUpdate(&resource.Request{}, next, p)
	if next.Generation != 2 || next.Status.Phase != corev1.PodPending {
		t.Errorf("an update makes generation %d and phase %s", next.Generation, next.Status.Phase)
	}

	status := p.DeepCopy()
	status.Spec.NodeName = "other"
	status.OwnerReferences = []metav1.OwnerReference{{Name: "x"}}
	status.Status.Phase = corev1.PodRunning
	status.Status.QOSClass = ""
	status.Status.NodeAllocatableResourceClaimStatuses = []corev1.NodeAllocatableResourceClaimStatus{{}}
	d.Updates["status"].PrepareUpdate(&resource.Request{}, status, p)
	if status.Spec.NodeName != "" || status.Status.NodeAllocatableResourceClaimStatuses != nil || status.OwnerReferences != nil || status.Status.Phase != corev1.PodRunning || status.Status.QOSClass != corev1.PodQOSGuaranteed || status.Generation != 1 {
		t.Errorf("a status update made %+v", status)
	}
}

func TestPodGracePeriod(t *testing.T) {
	t.Parallel()
	ten, zero, negative := int64(10), int64(0), int64(-5)
	scheduled := corev1.PodSpec{NodeName: "n", TerminationGracePeriodSeconds: &ten}
	for name, c := range map[string]struct {
		pod  corev1.Pod
		opts *metav1.DeleteOptions
		want int64
	}{
		"its own":         {corev1.Pod{Spec: scheduled}, &metav1.DeleteOptions{}, 10},
		"asked for":       {corev1.Pod{Spec: scheduled}, &metav1.DeleteOptions{GracePeriodSeconds: &zero}, 0},
		"negative":        {corev1.Pod{Spec: scheduled}, &metav1.DeleteOptions{GracePeriodSeconds: &negative}, 1},
		"on no node":      {corev1.Pod{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &ten}}, nil, 0},
		"ended":           {corev1.Pod{Spec: scheduled, Status: corev1.PodStatus{Phase: corev1.PodFailed}}, nil, 0},
		"without options": {corev1.Pod{Spec: scheduled}, nil, 10},
	} {
		if got := podGracePeriod(&c.pod, c.opts); got != c.want {
			t.Errorf("%s: %d seconds, want %d", name, got, c.want)
		}
	}
}
