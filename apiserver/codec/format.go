package codec

// Format is a serialization.
type Format int

// The formats. JSON is the default everywhere.
const (
	JSON Format = iota
	YAML
	Protobuf
)

// MediaType of the format.
func (f Format) MediaType() string {
	switch f {
	case YAML:
		return "application/yaml"
	case Protobuf:
		return "application/vnd.kubernetes.protobuf"
	}
	return "application/json"
}
