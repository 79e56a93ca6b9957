// Package codec turns bodies into objects and objects into bodies, in the
// three formats of the API.
//
// Decoding is guarded: nesting is bounded before a parser that recurses sees
// the input, YAML aliases cannot expand beyond the parser's ratio, and unknown
// and duplicate fields are reported in upstream's words rather than dropped.
//
// Encoding writes into a caller's buffer. A protobuf message goes into the
// envelope that clients and etcd share: the prefix "k8s\x00" and a
// runtime.Unknown with the kind beside the raw bytes.
package codec
