// Package machine makes machines out of one: each has a network namespace and a
// host name of its own, and an interface with an address on a [LAN], which is a
// bridge in the namespace of the one who makes them. Cluster nodes run on them as
// they would on machines of their own.
//
//	namespace of the maker           namespace of a machine
//	  bridge, the gateway ─── veth ─── eth0, address, default route
//
// A machine shares the kernel, the file system and the cgroups of the real one;
// what runs on it keeps apart by directories and cgroups that are given to it.
//
// Everything here is an effect that can be repeated: [LAN.Ensure] and
// [Machine.Ensure] make what is missing and leave what is there, so that a
// cluster whose server was killed is taken over as it runs. [Machine.Remove]
// takes a namespace away with all interfaces, routes and rules in it, whoever made
// them; processes in it lose their network, and are the caller's to end.
//
// [Machine.Partition] cuts a machine off its LAN by rules in its own namespace,
// as a broken cable would: connections hang, nothing is told. [Machine.Heal] mends
// it.
package machine
