package main

import (
	"fmt"
	"reflect"
)

// figure names one number that is measured.
type figure int

const (
	freshAPI figure = iota // ms, as the three below
	freshNode
	againAPI
	againNode
	restMemory // MB
	restCPU    // % of a core
	restPodsMemory
	restPodsCPU
	podReady // ms
	podGone
	podCPU    // ms, of everything, as the two below
	burstRate // per second
	burstCPU
	burstGoneCPU
	burstBusy  // % of all cores
	burstGone  // ms
	createRate // per second
	createCPU  // ms of one
	getRate
	getCPU
	patchRate
	patchCPU
	deleteRate
	deleteCPU
	listHalfCPU // ms, as all of a list
	listHalfTime
	listPlainCPU // not compressed
	listPlainTime
	listAllCPU
	listAllTime
	listHalfJSONCPU
	listHalfJSONTime
	listAllJSONCPU
	listAllJSONTime
	watchRate    // deliveries per second
	watchCPU     // µs of one
	loadedMemory // MB
	hollowReady  // ms
	hollowMemory // MB
	hollowCPU    // % of a core
	hollowRate   // pods per second
	hollowCost   // CPU seconds
	hollowFull   // MB
)

// figures are what a run has measured so far.
type figures map[figure]float64

// limit is a budget as numbers. Where upstream's own runs differed there are
// two; strict is the harder one. The zero value is no limit.
type limit struct {
	strict, lenient float64
	atLeast         bool
}

func atMost(v ...float64) limit  { return limit{strict: v[0], lenient: v[len(v)-1]} }
func atLeast(v ...float64) limit { return limit{strict: v[0], lenient: v[len(v)-1], atLeast: true} }

// verdict says whether a budget is reached.
type verdict string

const (
	unjudged verdict = ""
	yes      verdict = "yes"
	partly   verdict = "partly"
	no       verdict = "no"
)

func (l limit) judge(v float64) verdict {
	if l == (limit{}) {
		return unjudged
	}
	holds := func(bar float64) bool {
		if l.atLeast {
			return v >= bar
		}
		return v <= bar
	}
	switch {
	case holds(l.strict):
		return yes
	case holds(l.lenient):
		return partly
	default:
		return no
	}
}

// row is one line of the table.
type row struct {
	work   string
	figure figure
	unit   string
	budget string // in the words of the design, with upstream's figure
	limit  limit
	why    string // the known reason, printed where the budget is not reached
}

// rows are the table, in the order in which it is read.
func rows(p plan) []row {
	count := func(format string, n int) string { return fmt.Sprintf(format, n) }
	const tree = "one process holds API server, etcd, controllers, agent and containerd; every 16 pods add a shim"
	return []row{
		{work: "exec → API ready, fresh data", figure: freshAPI, unit: "ms", budget: "≤ 1 s (3.0–3.9 s)", limit: atMost(1000), why: "keys and certificates are made and the first etcd log is laid out and synced"},
		{work: "exec → node Ready, fresh data", figure: freshNode, unit: "ms"},
		{work: "exec → API ready, again", figure: againAPI, unit: "ms"},
		{work: "exec → node Ready, again (Ready as stored counts)", figure: againNode, unit: "ms"},
		{work: "one pod, image present: create → Ready", figure: podReady, unit: "ms", budget: "≤ 150 ms (628 ms)", limit: atMost(150), why: "two runs of runc and the CNI plugins are processes one after the other; others were waiting for the cores too where the load is high"},
		{work: "one pod: delete → gone", figure: podGone, unit: "ms"},
		{work: "one pod: CPU of its whole life, server, shim, runc, CNI and the container together", figure: podCPU, unit: "ms"},
		{work: count("%d pods at once", p.burst), figure: burstRate, unit: "pods/s", budget: "≥ 20 pods/s (4.0)", limit: atLeast(20), why: "see how busy the cores were: runc, shims and CNI plugins are what runs"},
		{work: count("%d pods at once: cores busy meanwhile, with anything", p.burst), figure: burstBusy, unit: "%"},
		{work: count("%d pods at once: CPU of one, create → Ready", p.burst), figure: burstCPU, unit: "ms"},
		{work: count("%d pods: CPU of one, delete → gone", p.burst), figure: burstGoneCPU, unit: "ms"},
		{work: count("%d pods: delete → all gone", p.burst), figure: burstGone, unit: "ms"},
		{work: "idle, 0 pods: memory, runtime included", figure: restMemory, unit: "MB", budget: "≤ 150 MB (650 MB)", limit: atMost(150), why: tree},
		{work: "idle, 0 pods: CPU", figure: restCPU, unit: "% of a core", budget: "≤ 1 % (6.8 %)", limit: atMost(1), why: "timers of etcd, containerd and the node agent"},
		{work: count("idle, %d pods: memory, shims included", p.burst), figure: restPodsMemory, unit: "MB"},
		{work: count("idle, %d pods: CPU", p.burst), figure: restPodsCPU, unit: "% of a core"},
		{work: count("create %d pods", p.objects), figure: createRate, unit: "/s", budget: "≥ 3× (600–1,400/s)", limit: atLeast(4200, 1800), why: "client and server share the cores; the CPU of a create, below, is what bounds it"},
		{work: "create: server CPU", figure: createCPU, unit: "ms", budget: "≤ 1/5 (1.1–1.8 ms)", limit: atMost(0.22, 0.36), why: "by its profile half is the handler: decoding, managed fields, validation, etcd, none above an eighth; the rest is HTTP/2 with TLS, the collector, and the informers of the same process"},
		{work: "get", figure: getRate, unit: "/s"},
		{work: "get: server CPU", figure: getCPU, unit: "ms", budget: "≤ 1/5 (0.50–0.56 ms)", limit: atMost(0.1, 0.112), why: "by its profile a third is the chain and the handler; the rest is net/http's HTTP/2 with TLS, and the process at rest"},
		{work: "patch", figure: patchRate, unit: "/s"},
		{work: "patch: server CPU", figure: patchCPU, unit: "ms", budget: "≤ 1/5 (2.0 ms)", limit: atMost(0.4), why: "by its profile two thirds are the handler: merging, validating, tracking managed fields, copying, committing, none above a fifth; the collector has an eighth"},
		{work: "delete", figure: deleteRate, unit: "/s"},
		{work: "delete: server CPU", figure: deleteCPU, unit: "ms", budget: "≤ 1/5 (1.8–1.9 ms)", limit: atMost(0.36, 0.38), why: "the process's own garbage collection and etcd's syncs are in it"},
		{work: count("list %d, protobuf: server CPU", p.objects/2), figure: listHalfCPU, unit: "ms", budget: "≤ 1/10 (125–140 ms)", limit: atMost(12.5, 14), why: "by its profile half is encrypting and writing the body, a system call for every 16 KiB that HTTP/2 takes at once; putting it together is a sixth, walking the tree another"},
		{work: count("list %d, protobuf without gzip: server CPU", p.objects/2), figure: listPlainCPU, unit: "ms"},
		{work: count("list %d, protobuf without gzip: time", p.objects/2), figure: listPlainTime, unit: "ms"},
		{work: count("list %d, protobuf: time", p.objects/2), figure: listHalfTime, unit: "ms"},
		{work: count("list %d, protobuf: server CPU", p.objects), figure: listAllCPU, unit: "ms"},
		{work: count("list %d, protobuf: time", p.objects), figure: listAllTime, unit: "ms"},
		{work: count("list %d, JSON: server CPU", p.objects/2), figure: listHalfJSONCPU, unit: "ms"},
		{work: count("list %d, JSON: time", p.objects/2), figure: listHalfJSONTime, unit: "ms"},
		{work: count("list %d, JSON: server CPU", p.objects), figure: listAllJSONCPU, unit: "ms"},
		{work: count("list %d, JSON: time", p.objects), figure: listAllJSONTime, unit: "ms"},
		{work: fmt.Sprintf("watch, %d watchers × %d events", p.watchers, p.events), figure: watchRate, unit: "deliveries/s", budget: "≥ 5× (19–37 k/s)", limit: atLeast(185_000, 95_000), why: "by its profile two fifths are one TLS record and one system call for each event and connection; the creates that make the events, and the reading client, take the same cores"},
		{work: "watch: server CPU of a delivery", figure: watchCPU, unit: "µs"},
		{work: count("memory after %d pods, whole server process", p.objects), figure: loadedMemory, unit: "MB", budget: "≤ 1/5 (1,230 MB)", limit: atMost(246), why: "the live heap is a quarter of it (-profiles saves it): the objects, their stored bytes and etcd's log in memory; the collector's headroom is as much again, the rest is the process at rest and etcd's mapped database"},
		{work: count("start with %d hollow nodes → all Ready", p.hollow), figure: hollowReady, unit: "ms"},
		{work: count("idle, %d hollow nodes: memory", p.hollow), figure: hollowMemory, unit: "MB"},
		{work: count("idle, %d hollow nodes: CPU", p.hollow), figure: hollowCPU, unit: "% of a core"},
		{work: fmt.Sprintf("%d pods onto %d hollow nodes, create → all Ready", p.objects, p.hollow), figure: hollowRate, unit: "pods/s", budget: "≥ 10× (126 pods/s)", limit: atLeast(1260), why: "client, nodes and server share the cores; the CPU seconds, below, are what bounds it"},
		{work: "the same: CPU of the server with the nodes (upstream: 161 s)", figure: hollowCost, unit: "s"},
		{work: "the same: memory afterwards", figure: hollowFull, unit: "MB"},
	}
}

// result is a row with what was measured.
type result struct {
	row
	value   float64
	verdict verdict
}

// judge fills in the table, without what was not measured. A smaller plan than the budgets' is not judged.
func judge(f figures, p plan) []result {
	var out []result
	for _, r := range rows(p) {
		value, measured := f[r.figure]
		if !measured {
			continue
		}
		res := result{row: r, value: value}
		if reflect.DeepEqual(p, fullPlan()) {
			res.verdict = r.limit.judge(res.value)
		}
		out = append(out, res)
	}
	return out
}
