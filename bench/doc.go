// Command bench measures Proa on this machine and holds the result against the
// budgets of the design: "make bench".
//
// It makes a network namespace of its own (room.go) and runs itself again in
// there. That inner process starts the real "proa up" on a data directory of
// its own (cluster.go), asks it for work over HTTPS with client-go, as any
// client would, and ends it with "proa down --purge" whatever happens, an
// interrupt included. Client and server share the machine's cores, as in the
// figures of upstream that the budgets quote.
//
// What is measured, in this order:
//
//   - starts (starts.go): from the exec of "proa up" to an answered /readyz and
//     to a Ready node, with fresh data and with data that is there already;
//   - rest (rest.go): resident memory and CPU of everything that runs when
//     nobody asks for anything;
//   - pods (pods.go): real containers, one at a time and many at once;
//   - load (load.go, watch.go): requests on many pods that no scheduler takes;
//   - hollow nodes (hollow.go): the cluster started again with thousands of
//     nodes without containers, at rest, and pods spread over them.
//
// Server CPU is the user and system time of the server's process, which also
// runs etcd, the controllers, the scheduler, the node agent and containerd, so
// it is an upper bound for the request itself. Resident memory is the sum over
// the server, the shims and the pods' pause processes; pages that these share
// count once for each.
//
// -profiles DIR saves CPU profiles of the server under each load, and its live
// heap, for go tool pprof; the reasons in the table come from there. -steps
// runs only some of the steps.
//
// The table (budget.go, report.go) is printed and written to a file of the day,
// and the folder's README lists the files (index.go). A budget with a range
// comes from upstream runs that differed: "yes" beats the faster one, "partly"
// only the slower one.
//
// # Beside upstream
//
// With -upstream, "make bench-upstream", the same is asked of two sides in one
// run: Proa, and a cluster of upstream's parts of the same release (upstream.go,
// on test/parts). What a side is stands in subject.go, what is asked of it in
// operations.go, one line each; compare.go lets the sides do it in turns, round by
// round, and ledger.go and ratios.go make the page and the chart of it. Each side
// and all that it starts is in a cgroup of its own, whose CPU time is what a
// noisy machine disturbs least. What a side cannot do is noted on the page, and
// the rest is measured all the same; after -limit nothing more is begun.
//
// PROA_BIN_DIR names the folder with proa and its helpers, and in it upstream/
// with a containerd for the other side. It needs root, ip,
// nsenter and nft.
package main
