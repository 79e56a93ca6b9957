// Package ipalloc gives services their cluster IPs and node ports. It is the
// resource.Allocator of services.
//
// What is taken is written down in the store, where upstream writes it, so that
// several servers, and upstream's, never give one thing twice:
//
//   - a cluster IP is taken by creating the IPAddress object of that name, in
//     one of the ranges of the ServiceCIDRs that are ready;
//   - node ports are bits of one RangeAllocation, changed by compare-and-swap.
//
// No server keeps a list of its own. A candidate is picked at random where the
// cache shows nothing, and the write decides.
//
//	Allocate: decide families ─▶ take what the new object needs beyond the old
//	settle:   give back what only the old one had, or what was taken in vain
//
// Each range has two bands. What is not asked for by number comes from the upper
// one while that lasts, so that the lower, which begins the range, stays free
// for addresses that people choose ([bandOffset]).
//
// The ServiceCIDR "kubernetes" has the ranges that the server is configured with
// and is kept by it ([Default]); others are made by administrators, and become
// ready, and go, by the controller of ServiceCIDRs. Addresses come from the
// default's ranges while those have any.
//
// A server that dies between taking and storing leaves something taken that
// nobody has. [Services.Repair] finds it, and what services have without having
// taken it; [Services.Run] repairs at the start and then at long intervals.
package ipalloc
