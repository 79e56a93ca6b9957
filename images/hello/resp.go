package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// The protocol between the guest book and its store is that of Redis (RESP2):
// redis-cli can talk to the store, and the guest book to a Redis.

const (
	// maxWords and maxBytes bound one command, and one reply in the same way.
	maxWords, maxBytes = 1 << 10, 1 << 20
)

var errProtocol = errors.New("not the protocol of Redis")

// readCommand reads one command: an array of strings, or words on a line.
func readCommand(r *bufio.Reader) ([]string, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(line, "*") {
		return strings.Fields(line), nil
	}
	n, err := length(line[1:], maxWords)
	if err != nil {
		return nil, err
	}
	words, left := make([]string, 0, max(n, 0)), maxBytes
	for range n {
		line, err := readLine(r)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(line, "$") {
			return nil, errProtocol
		}
		word, err := readBulk(r, line[1:], left)
		if err != nil {
			return nil, err
		}
		left -= len(word)
		words = append(words, word)
	}
	return words, nil
}

// readReply reads a reply. Of an array it returns the elements, of anything else
// the one, and an error for an error that the server says.
func readReply(r *bufio.Reader) ([]string, error) {
	line, err := readLine(r)
	if err != nil {
		return nil, err
	}
	if line == "" {
		return nil, errProtocol
	}
	switch kind, rest := line[0], line[1:]; kind {
	case '+', ':':
		return []string{rest}, nil
	case '-':
		return nil, fmt.Errorf("the store says: %s", rest)
	case '$':
		if rest == "-1" {
			return nil, nil
		}
		s, err := readBulk(r, rest, maxBytes)
		return []string{s}, err
	case '*':
		n, err := length(rest, maxWords)
		if err != nil {
			return nil, err
		}
		var all []string
		for range n {
			one, err := readReply(r)
			if err != nil {
				return nil, err
			}
			all = append(all, one...)
		}
		return all, nil
	}
	return nil, errProtocol
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n') // as long as the reader's buffer, at most
	if err != nil {
		if errors.Is(err, bufio.ErrBufferFull) {
			err = errProtocol
		}
		return "", err
	}
	return strings.TrimRight(string(line), "\r\n"), nil
}

func readBulk(r *bufio.Reader, size string, most int) (string, error) {
	n, err := length(size, most)
	if err != nil || n < 0 {
		return "", errProtocol
	}
	b := make([]byte, n+2)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", err
	}
	return string(b[:n]), nil
}

func length(s string, most int) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n > most || n < -1 {
		return 0, errProtocol
	}
	return n, nil
}

// command is one as it goes over the wire, and into the store's file.
func command(words ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(words))
	for _, w := range words {
		b.WriteString(bulk(w))
	}
	return b.String()
}

func bulk(s string) string { return fmt.Sprintf("$%d\r\n%s\r\n", len(s), s) }
