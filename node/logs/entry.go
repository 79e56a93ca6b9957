package logs

import (
	"bytes"
	"errors"
	"time"
)

// Stream is where a container wrote.
type Stream string

// The two streams.
const (
	Stdout Stream = "stdout"
	Stderr Stream = "stderr"
)

// Entry is one line of a log file. Partial says that the container's line goes
// on in the next entry of the stream; otherwise Text ends in a newline.
type Entry struct {
	Time    time.Time
	Stream  Stream
	Partial bool
	Text    []byte
}

var errEntry = errors.New("not a log entry in the CRI format")

// ParseEntry reads one line of a log file, with or without its newline. Text
// shares memory with the line.
func ParseEntry(line []byte) (Entry, error) {
	stamp, rest, ok := bytes.Cut(line, []byte{' '})
	if !ok {
		return Entry{}, errEntry
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return Entry{}, errEntry
	}
	stream, rest, ok := bytes.Cut(rest, []byte{' '})
	e := Entry{Time: at, Stream: Stream(stream)}
	if !ok || e.Stream != Stdout && e.Stream != Stderr {
		return Entry{}, errEntry
	}
	tags, text, ok := bytes.Cut(rest, []byte{' '})
	if !ok {
		// An empty line may lack the space.
		tags, text = bytes.TrimSuffix(rest, []byte{'\n'}), []byte{'\n'}
	}
	// Of several tags, parted by colons, the first says whether it is whole.
	first, _, _ := bytes.Cut(tags, []byte{':'})
	if string(first) == "P" {
		e.Partial = true
		text = bytes.TrimSuffix(text, []byte{'\n'})
	}
	e.Text = text
	return e, nil
}
