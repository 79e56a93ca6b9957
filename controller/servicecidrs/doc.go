// Package servicecidrs protects the ranges of cluster IPs (ServiceCIDRs) and
// says which of them are ready to give addresses.
//
// Every range gets a finalizer, and then the condition Ready. One that is to be
// deleted goes only when no address would be left without a range: where other
// ranges cover all of it, or each of its addresses. Until then its condition
// says why it stays. It rests for a while before it goes, in which API servers
// learn that nothing may be given from it any more.
//
// No address is ever given or taken back here.
package servicecidrs
