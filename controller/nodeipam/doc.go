// Package nodeipam gives every node its range of pod addresses out of the
// cluster's: spec.podCIDRs, which the node's pod network and the routes of the
// other nodes follow.
//
// A range, once given, is the node's until its object is deleted; the API lets
// nobody change it. Ranges go round: the next one is looked for behind the last,
// so that the range of a deleted node rests as long as possible before another
// has it, and late packets and routes meet nobody. Ranges that nodes have by
// somebody else's hand are respected, also where they are of another size.
//
// When all ranges are taken, nodes wait (event CIDRNotAvailable) until a range
// comes free; nothing is tried again before that.
package nodeipam
