// Package stream connects clients to what runs on nodes: log, exec, attach,
// portforward and proxy of pods, services and nodes.
//
// A request is rewritten to the node agent's (or the pod's) own path and passed
// on as it is, upgrades to WebSocket and SPDY included, so that the streams
// themselves are spoken between kubectl and the node. What passes is decided
// here, before: the pod must have a node, the container must exist, and the
// address that is dialled is the one that was checked. Only a log that is read
// over a WebSocket is spoken here: to node agents it is an ordinary response.
//
// # Rules that have been paid for
//
//   - A backend that does not switch protocols is answered to the client like
//     any other response and its connection is never reused for the client's
//     bytes (CVE-2018-1002105).
//   - A redirect from a node agent is refused, not followed and not passed on
//     (CVE-2020-8559, CVE-2022-3172).
//   - Addresses are taken from the API, parsed once, checked, and dialled as
//     they are; no name is resolved (CVE-2020-8562, CVE-2022-3294). Loopback,
//     link-local and multicast addresses are refused (CVE-2020-8555).
package stream
