package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// cores is what all cores of the machine have done since its start, in ticks.
type cores struct{ idle, total int64 }

func readCores() (cores, error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return cores{}, fmt.Errorf("read what the cores do: %w", err)
	}
	return parseCores(string(b))
}

// parseCores reads the first line of /proc/stat: user, nice, system, idle,
// iowait, irq, softirq and steal. Waiting for a disk is idle. The guest times
// that follow are in user already.
func parseCores(stat string) (c cores, err error) {
	line, _, _ := strings.Cut(stat, "\n")
	f := strings.Fields(line)
	const idle, iowait, steal = 4, 5, 8
	if len(f) <= steal || f[0] != "cpu" {
		return c, errors.New("/proc/stat does not begin with the sum of all cores")
	}
	for i := 1; i <= steal; i++ {
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return c, fmt.Errorf("/proc/stat: %w", err)
		}
		c.total += n
		if i == idle || i == iowait {
			c.idle += n
		}
	}
	return c, nil
}

// busySince is the share of the cores' time, in percent, that was used.
func (c cores) busySince(before cores) float64 {
	total := c.total - before.total
	if total <= 0 {
		return 0
	}
	return 100 * float64(total-(c.idle-before.idle)) / float64(total)
}
