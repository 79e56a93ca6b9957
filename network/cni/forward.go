package cni

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Docker, and some firewalls, drop all forwarded packets that they have not
// allowed, in the FORWARD chain of iptables; with br_netfilter, which Docker
// loads, even those between two pods of the bridge. A packet has to pass every
// table, so no rule of our own table can help. Where that is the policy, and only
// there, two rules are put in front of it. They are taken away with the network;
// machines without such a policy never see a rule or a table of iptables.

// runner executes programs. It returns standard output; the error has standard
// error.
type runner func(ctx context.Context, name string, args ...string) (string, error)

func execRunner(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(exit.Stderr)))
	}
	return string(out), err
}

// programs are the iptables of the families that the network has.
func programs(c Config) []string {
	var out []string
	for _, p := range c.PodCIDRs {
		if p.Addr().Is4() {
			out = append(out, "iptables")
		} else {
			out = append(out, "ip6tables")
		}
	}
	return out
}

// forwardRules are ours, as iptables takes and prints them.
func forwardRules(c Config) []string {
	var out []string
	for _, direction := range []string{"-i", "-o"} {
		out = append(out, fmt.Sprintf("%s %s -m comment --comment %s -j ACCEPT", direction, c.Bridge, tableName(c)))
	}
	return out
}

// forwardPlan compares the output of iptables -S FORWARD with what is wanted. It
// returns the argument lists of the commands to run. Pure.
func forwardPlan(c Config, listing string, want bool) [][]string {
	drops := false
	present := map[string]int{}
	for line := range strings.Lines(listing) {
		line = strings.TrimSpace(line)
		switch rule, isRule := strings.CutPrefix(line, "-A FORWARD "); {
		case line == "-P FORWARD DROP":
			drops = true
		case isRule:
			present[strings.ReplaceAll(rule, `"`, "")]++
		}
	}
	var plan [][]string
	for _, rule := range forwardRules(c) {
		switch {
		case want && drops && present[rule] == 0:
			plan = append(plan, append([]string{"-w", "-I", "FORWARD"}, strings.Fields(rule)...))
		case !want:
			for range present[rule] {
				plan = append(plan, append([]string{"-w", "-D", "FORWARD"}, strings.Fields(rule)...))
			}
		}
	}
	return plan
}

// AllowForwarding lets packets from and to a bridge pass where the machine's
// firewall would drop them. Setup does it for the pods' bridge; others may need it
// for theirs. Of c it takes Network (the mark of the rules), Bridge and PodCIDRs
// (the address families).
func AllowForwarding(ctx context.Context, c Config) error {
	return setForwarding(ctx, c, execRunner, true)
}

// ForbidForwarding takes away what AllowForwarding made.
func ForbidForwarding(ctx context.Context, c Config) error {
	return setForwarding(ctx, c, execRunner, false)
}

// setForwarding makes (want) or removes our rules in FORWARD.
func setForwarding(ctx context.Context, c Config, run runner, want bool) error {
	for _, program := range programs(c) {
		listing, err := run(ctx, program, "-w", "-S", "FORWARD")
		if errors.Is(err, exec.ErrNotFound) {
			continue // then nobody has made such a policy with it
		}
		if err != nil {
			return err
		}
		for _, args := range forwardPlan(c, listing, want) {
			if _, err := run(ctx, program, args...); err != nil {
				return err
			}
		}
	}
	return nil
}
