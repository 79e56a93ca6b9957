package main

import (
	"os"
	"slices"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	t.Parallel()
	const rest = " S 7 1 1 0 -1 4194560 100 200 0 0 11 22 3 4 20 0 9 0 500 123456 42 18446744073709551615"
	for name, test := range map[string]struct {
		in   string
		want process
		fail bool
	}{
		"plain":           {in: "12 (proa)" + rest, want: process{pid: 12, parent: 7, cpu: 330 * time.Millisecond, reaped: 70 * time.Millisecond, rss: 42 * 4096}},
		"hostile name":    {in: "12 (a) S 1 (b))" + rest, want: process{pid: 12, parent: 7, cpu: 330 * time.Millisecond, reaped: 70 * time.Millisecond, rss: 42 * 4096}},
		"no name":         {in: "12 proa" + rest, fail: true},
		"cut off":         {in: "12 (proa) S 7 1", fail: true},
		"not a number":    {in: "x (proa)" + rest, fail: true},
		"empty":           {in: "", fail: true},
		"wrong order":     {in: "12 )proa(" + rest, fail: true},
		"parent no digit": {in: "12 (proa) S x 1 1 0 -1 4194560 100 200 0 0 11 22 3 4 20 0 9 0 500 123456 42", fail: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := parseStat([]byte(test.in), 4096)
			if test.fail != (err != nil) {
				t.Fatalf("err = %v, want one: %v", err, test.fail)
			}
			if !test.fail && got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestReadProcess(t *testing.T) {
	t.Parallel()
	p, err := readProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if p.pid != os.Getpid() || p.parent != os.Getppid() || p.rss <= 0 || p.args == "" {
		t.Errorf("got %+v", p)
	}
}

func TestBelow(t *testing.T) {
	t.Parallel()
	all := []process{
		{pid: 1, args: "init"},
		{pid: 10, parent: 1, args: "proa server --config /tmp/pb1/run/config.yaml"},
		{pid: 11, parent: 10, args: "runc"},
		{pid: 20, parent: 1, args: "containerd-shim-runc-v2 -address /tmp/pb1/run/containerd/containerd.sock"},
		{pid: 21, parent: 20, args: "/pause"},
		{pid: 30, parent: 1, args: "containerd-shim-runc-v2 -address /tmp/pb12/run/containerd/containerd.sock"},
		{pid: 31, parent: 30, args: "/pause"},
	}
	var got []int
	for _, p := range below(all, 10, "/tmp/pb1") {
		got = append(got, p.pid)
	}
	slices.Sort(got)
	if want := []int{10, 11, 20, 21}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCPUBetween(t *testing.T) {
	t.Parallel()
	before := []process{{pid: 1, cpu: 5 * tick, reaped: tick}, {pid: 2, cpu: 9 * tick}}
	after := []process{{pid: 1, cpu: 7 * tick, reaped: 4 * tick}, {pid: 3, cpu: 2 * tick}}
	if got, want := cpuBetween(before, after), 7*tick; got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
