// Package negotiate settles in which form a response is sent and in which a
// body came: the media types application/json, application/yaml and
// application/vnd.kubernetes.protobuf, and the conversions to Table and
// PartialObjectMetadata that a client may ask for with them.
package negotiate
