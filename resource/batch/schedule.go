package batch

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // Schedules name time zones, on machines without a zone database too.

	"github.com/robfig/cron/v3"
)

// ParseSchedule parses a schedule in the standard five fields of cron, or one
// of its descriptors such as "@daily". It never panics.
func ParseSchedule(s string) (cron.Schedule, error) {
	for _, prefix := range []string{"TZ=", "CRON_TZ="} {
		// The parser looks for a space after a time zone without asking
		// whether there is one.
		if strings.HasPrefix(s, prefix) && !strings.Contains(s, " ") {
			return nil, fmt.Errorf("provided bad location %s", strings.TrimPrefix(s, prefix))
		}
	}
	return cron.ParseStandard(s)
}

// LoadZone finds a time zone by its name in the IANA database. "Local" is not
// one of them: the zone of a schedule must not depend on the machine.
func LoadZone(name string) (*time.Location, error) {
	if strings.EqualFold(name, "Local") {
		return nil, errLocalZone
	}
	return time.LoadLocation(name)
}

var errLocalZone = errors.New("timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones")
