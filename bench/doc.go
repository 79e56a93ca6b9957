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
// PROA_BIN_DIR names the folder with proa and its helpers. It needs root, ip,
// nsenter and nft.
package main
