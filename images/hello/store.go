package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// storePort is that of Redis.
	storePort = "6379"
	// maxStored bounds the bytes of all keys and values, each with overhead for what
	// it takes beside them.
	maxStored, overhead = 32 << 20, 32
	// slack is how many bytes the file may have beyond twice what it is to tell,
	// before it is written anew.
	slack = 1 << 20
	// maxClients bounds the connections, and idleClient how long one may be silent.
	maxClients, idleClient = 256, 5 * time.Minute
)

// store is a key-value store in memory, with every write in a file before it is
// answered. It knows as much of the commands of Redis as a guest book needs.
type store struct {
	mu      sync.Mutex
	strings map[string]string
	lists   map[string][]string // newest first
	size    int
	path    string
	file    *os.File
	written int // bytes of the file
}

// openStore reads what the file tells, and goes on writing at the end of its last
// whole command: one that a crash has cut was never answered.
func openStore(path string) (*store, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	s := &store{strings: map[string]string{}, lists: map[string][]string{}, path: path, file: f}
	r := bufio.NewReader(f)
	for {
		words, err := readCommand(r)
		if err != nil || check(words) != "" || !commands[strings.ToUpper(words[0])].writes || s.refuses(words) != "" {
			break
		}
		s.apply(words)
		s.written += len(command(words...))
	}
	if err := f.Truncate(int64(s.written)); err != nil {
		return nil, err
	}
	if _, err := f.Seek(int64(s.written), io.SeekStart); err != nil {
		return nil, err
	}
	return s, nil
}

// keep puts a command into the file, and on the disk.
func (s *store) keep(text string) error {
	if s.written > 2*s.size+slack {
		if err := s.rewrite(); err != nil {
			return err
		}
	}
	n, err := s.file.WriteString(text)
	s.written += n
	if err == nil {
		err = s.file.Sync()
	}
	return err
}

// rewrite replaces the file by one that tells no more than what there is now.
func (s *store) rewrite() error {
	f, err := os.CreateTemp(filepath.Dir(s.path), "rewrite-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // which is not there where all went well
	w, n := bufio.NewWriter(f), 0
	put := func(words ...string) {
		text := command(words...)
		n += len(text)
		_, _ = w.WriteString(text) // Flush tells
	}
	for k, v := range s.strings {
		put("SET", k, v)
	}
	for k, list := range s.lists {
		for _, v := range list {
			put("LPUSH", k, v)
		}
	}
	for _, step := range []func() error{w.Flush, f.Sync, func() error { return os.Rename(f.Name(), s.path) }} {
		if err := step(); err != nil {
			f.Close()
			return err
		}
	}
	s.file.Close()
	s.file, s.written = f, n
	return nil
}

// do answers one command in the words of the protocol.
func (s *store) do(words []string) string {
	if wrong := check(words); wrong != "" {
		return wrong
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := strings.ToUpper(words[0])
	if !commands[name].writes {
		return s.apply(words)
	}
	text := command(words...)
	if name != "DEL" && s.size+len(text)+overhead*len(words) > maxStored {
		return "-OOM the store is full; delete something\r\n"
	}
	if wrong := s.refuses(words); wrong != "" {
		return wrong
	}
	if err := s.keep(text); err != nil {
		return "-ERR the write could not be kept: " + err.Error() + "\r\n"
	}
	return s.apply(words)
}

// check says what is wrong with a command, whatever the store holds.
func check(words []string) string {
	if len(words) == 0 {
		return "-ERR there is no command\r\n"
	}
	known, ok := commands[strings.ToUpper(words[0])]
	switch {
	case !ok:
		return fmt.Sprintf("-ERR unknown command '%.64s'\r\n", words[0])
	case len(words)-1 < known.least, known.most > 0 && len(words)-1 > known.most:
		return fmt.Sprintf("-ERR wrong number of arguments for '%s' command\r\n", strings.ToLower(words[0]))
	}
	return ""
}

// commands are those that the store knows, with how many arguments.
var commands = map[string]struct {
	least, most int // most 0: any number
	writes      bool
}{
	"PING": {0, 1, false}, "COMMAND": {0, 0, false},
	"DBSIZE": {0, 1, false},
	"GET":    {1, 1, false}, "SET": {2, 2, true}, "INCR": {1, 1, true}, "DEL": {1, 0, true},
	"LPUSH": {2, 0, true}, "LRANGE": {3, 3, false}, "LLEN": {1, 1, false},
}

const wrongType = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n"

// refuses says why a write cannot be done, before it is kept.
func (s *store) refuses(words []string) string {
	name := strings.ToUpper(words[0])
	text, isString := s.strings[words[1]]
	_, isList := s.lists[words[1]]
	switch {
	case name == "LPUSH" && isString, name == "INCR" && isList:
		return wrongType
	case name == "INCR" && isString:
		if _, err := strconv.ParseInt(text, 10, 64); err != nil {
			return "-ERR value is not an integer or out of range\r\n"
		}
	}
	return ""
}

// apply does a command that is known to be right.
func (s *store) apply(words []string) string {
	args := words[1:]
	switch strings.ToUpper(words[0]) {
	case "PING":
		if len(args) == 1 {
			return bulk(args[0])
		}
		return "+PONG\r\n"
	case "COMMAND": // redis-cli asks what there is
		return "*0\r\n"
	case "DBSIZE":
		return number(len(s.strings) + len(s.lists))
	case "GET":
		if _, isList := s.lists[args[0]]; isList {
			return wrongType
		}
		if v, ok := s.strings[args[0]]; ok {
			return bulk(v)
		}
		return "$-1\r\n"
	case "SET":
		s.forget(args[0])
		s.set(args[0], args[1])
		return "+OK\r\n"
	case "INCR":
		n, _ := strconv.ParseInt(s.strings[args[0]], 10, 64) // refuses has looked
		s.forget(args[0])
		s.set(args[0], strconv.FormatInt(n+1, 10))
		return number(int(n + 1))
	case "DEL":
		gone := 0
		for _, key := range args {
			gone += s.forget(key)
		}
		return number(gone)
	case "LPUSH":
		if s.lists[args[0]] == nil {
			s.size += len(args[0]) + overhead
		}
		for _, v := range args[1:] {
			s.lists[args[0]] = append(s.lists[args[0]], v) // the last is the first
			s.size += len(v) + overhead
		}
		return number(len(s.lists[args[0]]))
	case "LLEN":
		return number(len(s.lists[args[0]]))
	case "LRANGE":
		return s.span(args[0], args[1], args[2])
	}
	return "-ERR unknown command\r\n"
}

func number(n int) string { return fmt.Sprintf(":%d\r\n", n) }

func (s *store) set(key, value string) {
	s.strings[key] = value
	s.size += len(key) + len(value) + overhead
}

// forget returns how many keys there were.
func (s *store) forget(key string) int {
	v, isString := s.strings[key]
	list, isList := s.lists[key]
	if !isString && !isList {
		return 0
	}
	s.size -= len(key) + len(v) + overhead
	for _, v := range list {
		s.size -= len(v) + overhead
	}
	delete(s.strings, key)
	delete(s.lists, key)
	return 1
}

// span answers a part of a list; negative positions count from its end.
func (s *store) span(key, from, to string) string {
	list := s.lists[key]
	at := func(text string) (int, error) {
		n, err := strconv.Atoi(text)
		if n < 0 {
			n += len(list)
		}
		return n, err
	}
	first, err1 := at(from)
	last, err2 := at(to)
	if errors.Join(err1, err2) != nil {
		return "-ERR value is not an integer or out of range\r\n"
	}
	first, last = max(first, 0), min(last, len(list)-1)
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", max(last-first+1, 0))
	for i := first; i <= last; i++ {
		b.WriteString(bulk(list[len(list)-1-i]))
	}
	return b.String()
}

// runStore serves until ctx ends.
func runStore(ctx context.Context) error {
	s, err := openStore(filepath.Join(envOr("STORE_DIR", "/data"), "store.aof"))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	defer s.file.Close()
	l, err := net.Listen("tcp", net.JoinHostPort("", envOr("PORT", storePort)))
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	log.Printf("the store has %d bytes and listens on %s", s.size, l.Addr())
	return s.serve(ctx, l)
}

func (s *store) serve(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	slots := make(chan struct{}, maxClients)
	var clients sync.WaitGroup
	defer clients.Wait()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		select {
		case slots <- struct{}{}:
		default:
			c.Close()
			continue
		}
		clients.Go(func() {
			defer func() { <-slots }()
			s.client(ctx, c)
		})
	}
}

func (s *store) client(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	r := bufio.NewReader(c)
	for {
		if c.SetDeadline(time.Now().Add(idleClient)) != nil {
			return
		}
		words, err := readCommand(r)
		if errors.Is(err, errProtocol) {
			_, _ = io.WriteString(c, "-ERR Protocol error\r\n")
		}
		if err != nil {
			return
		}
		if _, err := io.WriteString(c, s.do(words)); err != nil {
			return
		}
	}
}
