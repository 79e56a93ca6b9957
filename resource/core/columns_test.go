package core

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"proa/resource"
)

// row joins the cells of an object as kubectl would show them.
func row(t *testing.T, d *resource.Definition, text string) string {
	t.Helper()
	cells := d.Cells(object(t, d, text), time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC))
	out := make([]string, len(cells))
	for i, c := range cells {
		out[i] = fmt.Sprint(c)
	}
	return strings.Join(out, "|")
}

func TestColumns(t *testing.T) {
	t.Parallel()
	const meta = "metadata: {name: a, creationTimestamp: 2026-05-01T11:00:00Z}\n"
	for name, c := range map[string]struct {
		def        *resource.Definition
		heads      string
		text, want string
	}{
		"node": {Node(), "Name|Status|Roles|Age|Version|Internal-IP|External-IP|OS-Image|Kernel-Version|Container-Runtime", `
metadata: {name: a, creationTimestamp: 2026-05-01T11:00:00Z, labels: {node-role.kubernetes.io/worker: "", node-role.kubernetes.io/control-plane: "", kubernetes.io/role: worker}}
spec: {unschedulable: true}
status: {conditions: [{type: Ready, status: "True"}], addresses: [{type: InternalIP, address: 10.0.0.1}], nodeInfo: {kubeletVersion: v1.36.3, osImage: Debian, kernelVersion: 6.18, architecture: "", bootID: "", containerRuntimeVersion: "", kubeProxyVersion: "", machineID: "", operatingSystem: "", systemUUID: ""}}`,
			"a|Ready,SchedulingDisabled|control-plane,worker|60m|v1.36.3|10.0.0.1|<none>|Debian|6.18|<unknown>"},
		"unheard node":  {Node(), "", meta, "a|Unknown|<none>|60m||<none>|<none>|<unknown>|<unknown>|<unknown>"},
		"namespace":     {Namespace(), "Name|Status|Age", meta, "a|Active|60m"},
		"secret":        {Secret(), "Name|Type|Data|Age", meta + "data: {a: Yg==}", "a|Opaque|1|60m"},
		"config map":    {ConfigMap(), "Name|Data|Age", meta + "data: {a: b}\nbinaryData: {c: Yg==}", "a|2|60m"},
		"account":       {ServiceAccount(), "Name|Age", meta, "a|60m"},
		"service":       {Service(), "Name|Type|Cluster-IP|External-IP|Port(s)|Age|Selector", meta + "spec: {clusterIP: 10.0.0.1, clusterIPs: [10.0.0.1], ports: [{port: 80}, {port: 53, protocol: UDP, nodePort: 30053}], selector: {b: c}}", "a|ClusterIP|10.0.0.1|<none>|80/TCP,53:30053/UDP|60m|b=c"},
		"pending":       {Service(), "", meta + "spec: {type: LoadBalancer}", "a|LoadBalancer|<none>|<pending>|<none>|60m|<none>"},
		"load balancer": {Service(), "", meta + "spec: {type: LoadBalancer, externalIPs: [9.9.9.9]}\nstatus: {loadBalancer: {ingress: [{hostname: x.example}, {ip: 1.2.3.4}]}}", "a|LoadBalancer|<none>|1.2.3.4,x.example,9.9.9.9|<none>|60m|<none>"},
		"external name": {Service(), "", meta + "spec: {type: ExternalName, externalName: example.com}", "a|ExternalName|<none>|example.com|<none>|60m|<none>"},
		"endpoints": {Endpoints(), "Name|Endpoints|Age", meta + "subsets: [{addresses: [{ip: 10.0.0.1}, {ip: 'fd00::1'}], ports: [{name: a, port: 80}, {name: b, port: 81}]}]",
			"a|10.0.0.1:80,[fd00::1]:80,10.0.0.1:81 + 1 more...|60m"},
		"no endpoints": {Endpoints(), "", meta, "a|<none>|60m"},
		"event": {Event(), "Last Seen|Type|Reason|Object|Subobject|Source|Message|First Seen|Count|Name",
			meta + "type: Warning\nreason: BackOff\nmessage: \"failed\\n\"\ninvolvedObject: {kind: Pod, name: web, fieldPath: spec.x}\nsource: {component: kubelet, host: n1}\nfirstTimestamp: 2026-05-01T11:00:00Z\nlastTimestamp: 2026-05-01T11:59:00Z\ncount: 7",
			"60s|Warning|BackOff|pod/web|spec.x|kubelet, n1|failed|60m|7|a"},
		"event of the new API": {Event(), "", meta + "type: Normal\nreason: Scheduled\nmessage: m\ninvolvedObject: {kind: Pod, name: web}\nreportingComponent: default-scheduler\neventTime: 2026-05-01T11:58:00.000000Z",
			"2m|Normal|Scheduled|pod/web||default-scheduler|m|2m|1|a"},
		"volume": {PersistentVolume(), "Name|Capacity|Access Modes|Reclaim Policy|Status|Claim|StorageClass|VolumeAttributesClass|Reason|Age|VolumeMode",
			meta + "spec: {capacity: {storage: 1Gi}, accessModes: [ReadOnlyMany, ReadWriteOnce], claimRef: {namespace: ns, name: c}, storageClassName: fast, hostPath: {path: /x}}\nstatus: {phase: Bound}",
			"a|1Gi|RWO,ROX|Retain|Bound|ns/c|fast|<unset>||60m|Filesystem"},
		"claim": {PersistentVolumeClaim(), "Name|Status|Volume|Capacity|Access Modes|StorageClass|VolumeAttributesClass|Age|VolumeMode",
			meta + "spec: {volumeName: v, storageClassName: fast}\nstatus: {phase: Bound, capacity: {storage: 1Gi}, accessModes: [ReadWriteOncePod]}",
			"a|Bound|v|1Gi|RWOP|fast|<unset>|60m|Filesystem"},
		"unbound claim": {PersistentVolumeClaim(), "", "metadata: {name: a, creationTimestamp: 2026-05-01T11:00:00Z, deletionTimestamp: 2026-05-01T11:00:00Z}", "a|Terminating|||||<unset>|60m|Filesystem"},
		"quota":         {ResourceQuota(), "Name|Request|Limit|Age", meta + "status: {hard: {pods: 10, limits.cpu: 4, requests.cpu: 2}, used: {pods: 1, limits.cpu: 500m}}", "a|pods: 1/10, requests.cpu: 0/2|limits.cpu: 500m/4|60m"},
		"limits":        {LimitRange(), "Name|Created At", meta, "a|2026-05-01T11:00:00Z"},
		"replication controller": {ReplicationController(), "Name|Desired|Current|Ready|Age|Containers|Images|Selector",
			meta + "spec: {replicas: 3, selector: {b: c}, template: {spec: {containers: [{name: x, image: i}, {name: z, image: j}]}}}\nstatus: {replicas: 2, readyReplicas: 1}",
			"a|3|2|1|60m|x,z|i,j|b=c"},
		"pod template": {PodTemplate(), "Name|Containers|Images|Pod Labels", meta + "template: {metadata: {labels: {b: c}}, spec: {containers: [{name: x, image: i}]}}", "a|x|i|b=c"},
		"pod":          {Pod(), "Name|Ready|Status|Restarts|Age|IP|Node|Nominated Node|Readiness Gates", meta + "spec: {containers: [{name: x, image: i}]}\nstatus: {phase: Pending}", "a|0/1|Pending|0|60m|<none>|<none>|<none>|<none>"},
	} {
		if got := row(t, c.def, c.text); got != c.want {
			t.Errorf("%s: got\n\t%s\nwant\n\t%s", name, got, c.want)
		}
		if c.heads == "" {
			continue
		}
		heads := make([]string, len(c.def.Columns))
		for i, h := range c.def.Columns {
			heads[i] = h.Name
			if h.Description == "" {
				t.Errorf("%s: column %s is not described", name, h.Name)
			}
		}
		if got := strings.Join(heads, "|"); got != c.heads {
			t.Errorf("%s: columns are %s, want %s", name, got, c.heads)
		}
	}
}
