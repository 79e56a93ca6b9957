package fairness

import (
	"net/url"
	"strconv"

	"proa/apiserver/request"
)

const (
	// objectsPerSeat is how many objects a list shows for a seat.
	objectsPerSeat = 100
	// mostSeats and mostPart bound what a request takes: so many seats, and no
	// more than a part of its level.
	mostSeats = 10
	mostPart  = 0.15
)

// width is how many seats a request takes. count tells how many objects there
// are of the resource that the request is for.
func width(i *request.Info, query func() url.Values, count func() int) int {
	var objects int
	switch i.Verb {
	case "list":
		if i.Name != "" { // by a selector that names one
			return 1
		}
		objects = count()
		if limit, err := strconv.Atoi(query().Get("limit")); err == nil && limit > 0 {
			objects = min(objects, limit)
		}
	case "watch":
		// The seats are given back when what there is has been sent, where that
		// is asked for at all.
		q := query()
		rev := q.Get("resourceVersion")
		if q.Get("sendInitialEvents") != "true" && rev != "" && rev != "0" {
			return 1
		}
		objects = count()
	default:
		return 1
	}
	return min(max(1, (objects+objectsPerSeat-1)/objectsPerSeat), mostSeats)
}
