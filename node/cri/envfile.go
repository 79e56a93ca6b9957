package cri

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"proa/node/volume/beneath"
)

// maxEnvFile bounds the file that fileKeyRef reads, in bytes.
const maxEnvFile = 64 << 10

// fileKey reads one variable of an env file that an init container left in a
// volume. The path is resolved below the volume, wherever its links lead.
func fileKey(in ContainerInput, ref *corev1.FileKeySelector) (value string, ok bool, err error) {
	v, found := in.Volumes[ref.VolumeName]
	if !found {
		return "", false, fmt.Errorf("cannot find the volume %q referenced by FileKeyRef", ref.VolumeName)
	}
	root, err := beneath.OpenRoot(v.Path)
	if err != nil {
		return "", false, err
	}
	defer root.Close()
	f, err := beneath.Open(root, ref.Path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if errors.Is(err, unix.ENOENT) && isTrue(ref.Optional) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("couldn't read the env file %q of volume %q: %w", ref.Path, ref.VolumeName, err)
	}
	defer f.Close()
	value, ok, err = parseEnvFile(io.LimitReader(f, maxEnvFile+1), ref.Key)
	if err != nil {
		return "", false, fmt.Errorf("couldn't parse the env file %q of volume %q: %w", ref.Path, ref.VolumeName, err)
	}
	if !ok && !isTrue(ref.Optional) {
		return "", false, fmt.Errorf("environment variable key %q not found in file %q", ref.Key, ref.Path)
	}
	return value, ok, nil
}

// parseEnvFile finds a key in lines of the form NAME='value'. The value is
// taken as it stands between single quotes, which may span lines; what is not
// quoted so is an error. Lines that are blank or start with # are skipped.
func parseEnvFile(r io.Reader, key string) (value string, ok bool, err error) {
	s := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, rerr := s.ReadString('\n')
		if rerr != nil && rerr != io.EOF {
			return "", false, rerr
		}
		text := strings.TrimSpace(line)
		if text != "" && !strings.HasPrefix(text, "#") {
			name, rest, found := strings.Cut(strings.TrimLeft(line, " \t"), "=")
			rest, quoted := strings.CutPrefix(rest, "'")
			if !found || !quoted {
				return "", false, fmt.Errorf("line %d: expected NAME='value'", n)
			}
			for !strings.Contains(rest, "'") {
				if rerr == io.EOF {
					return "", false, fmt.Errorf("line %d: unterminated quote", n)
				}
				if line, rerr = s.ReadString('\n'); rerr != nil && rerr != io.EOF {
					return "", false, rerr
				}
				rest += line
			}
			val, tail, _ := strings.Cut(rest, "'")
			if tail = strings.TrimSpace(tail); tail != "" && !strings.HasPrefix(tail, "#") {
				return "", false, fmt.Errorf("line %d: text after the closing quote", n)
			}
			if name == key {
				value, ok = val, true
			}
		}
		if rerr == io.EOF {
			return value, ok, nil
		}
	}
}
