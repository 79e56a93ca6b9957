// Package objects keeps the ConfigMaps and Secrets that the node's pods refer
// to: nothing else, and each by a list and a watch of that one object, which is
// all that a node is authorized to read.
//
// A watch lives as long as some pod refers to its object, and ends early for
// an immutable one. Readers wait for the first read of an object and then never
// for the network; subscribers are told which pods a change concerns. Objects
// are shared and must not be changed.
package objects
