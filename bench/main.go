package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"syscall"
	"time"
)

// options are what the command line chooses.
type options struct {
	out    string // folder of the result; empty: print only
	binDir string // folder of proa
	room   string // set in the inner process: the namespace it runs in
	pods   bool   // only the steps with containers, and those before them
	plan   plan
	// steps are those that run, profiles where profiles of the server go.
	steps    *regexp.Regexp
	profiles string
	// upstream is the folder of upstream's programs: they are measured beside
	// Proa then, for no longer than limit, and a chart goes into the readme.
	upstream string
	limit    time.Duration
	readme   string
}

// plan says how much is measured.
type plan struct {
	starts   int           // starts of each kind, of which the median counts
	singles  int           // pods one after the other
	burst    int           // pods at once
	idle     time.Duration // how long rest is watched
	objects  int           // pods without a node; half of them in each of two namespaces
	workers  int           // requests in flight
	lists    int           // lists of each kind
	watchers int
	events   int // events that each watcher receives
	hollow   int // nodes without containers

	// Beside upstream only:
	rounds       int // of requests, lists and watches, which share the objects
	bursts       int // of pods at once
	fanOuts      []fanOut
	hollowRounds int
	hollowPods   int
}

func fullPlan() plan {
	return plan{
		starts: 3, singles: 10, burst: 30, idle: 30 * time.Second,
		objects: 10_000, workers: 64, lists: 20, watchers: 100, events: 500, hollow: 5_000,
	}
}

func quickPlan() plan {
	return plan{
		starts: 1, singles: 3, burst: 10, idle: 3 * time.Second,
		objects: 1_000, workers: 64, lists: 5, watchers: 20, events: 100, hollow: 500,
	}
}

// besideUpstream is the plan of a comparison, which has less time for each side.
func besideUpstream(quick bool) plan {
	if quick {
		p := quickPlan()
		p.starts, p.lists, p.rounds, p.bursts, p.hollowRounds = 1, 2, 2, 1, 1
		p.fanOuts = []fanOut{{1, 50}, {20, 20}, {100, 10}}
		p.hollow, p.hollowPods = 200, 500
		return p
	}
	p := fullPlan()
	p.objects, p.lists, p.rounds, p.bursts, p.hollowRounds = 5_000, 4, 5, 2, 2
	p.fanOuts = []fanOut{{1, 200}, {100, 200}, {1_000, 50}}
	p.hollowPods = 10_000
	p.idle = 5 * time.Minute
	return p
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench: "+err.Error())
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.room == "" {
		return runInRoom(ctx, args)
	}
	if o.upstream != "" {
		return compareAll(ctx, o)
	}
	return measureAll(ctx, o)
}

func parse(args []string) (options, error) {
	o := options{binDir: os.Getenv("PROA_BIN_DIR")}
	var quick bool
	fl := flag.NewFlagSet("bench", flag.ContinueOnError)
	fl.StringVar(&o.out, "out", "", "`folder` for the result (default: print only)")
	fl.BoolVar(&quick, "quick", false, "measure less: a tenth of the objects, fewer runs; budgets are then not judged")
	fl.BoolVar(&o.pods, "pods", false, "measure starts, rest and pods only")
	steps := fl.String("steps", "", "`regexp` of the names of steps to run (default all)")
	fl.StringVar(&o.profiles, "profiles", "", "`folder` for profiles of the server under each load (default: none are taken)")
	fl.StringVar(&o.upstream, "upstream", "", "`folder` of upstream's programs, to measure beside Proa (default: Proa alone)")
	fl.DurationVar(&o.limit, "limit", 18*time.Minute, "`time` after which a comparison begins nothing more")
	fl.StringVar(&o.readme, "readme", "", "`page` that a chart of the comparison goes into (default: none)")
	idle := fl.Duration("idle", 0, "`time` for which a comparison looks at the sides at rest (default 5m; with -quick 3s)")
	fl.StringVar(&o.room, "room", "", "network `namespace` this process is in already (for its own use)")
	if err := fl.Parse(args); err != nil {
		return o, err
	}
	var err error
	if o.steps, err = regexp.Compile(*steps); err != nil {
		return o, fmt.Errorf("steps: %w", err)
	}
	o.plan = fullPlan()
	if quick {
		o.plan = quickPlan()
	}
	if o.upstream != "" {
		o.plan = besideUpstream(quick)
		if *idle > 0 {
			o.plan.idle = *idle
		}
	}
	switch {
	case fl.NArg() > 0:
		return o, fmt.Errorf("unknown argument %q", fl.Arg(0))
	case o.binDir == "":
		return o, errors.New("PROA_BIN_DIR must name the folder of proa: use \"make bench\"")
	case os.Geteuid() != 0:
		return o, errors.New("containers need root: use sudo")
	}
	return o, nil
}
