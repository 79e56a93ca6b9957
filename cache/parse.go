package cache

import (
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ParseRevision returns what resourceVersion and resourceVersionMatch of a get
// (limit 0) or list say, by upstream's table:
//
//	resourceVersion   match           reads
//	unset             unset           Latest
//	"0"               unset, NotOlder Any
//	N                 NotOlder        NotOlder
//	N                 Exact           Exact
//	N                 unset           NotOlder, or with a limit Exact
//
// That the combination is one of these has been validated before; the error
// is a bad request. With Any, upstream ignores limits.
func ParseRevision(rv string, match metav1.ResourceVersionMatch, limit int64) (Match, int64, error) {
	if rv == "" {
		return Latest, 0, nil
	}
	n, err := strconv.ParseUint(rv, 10, 63)
	if err != nil {
		return 0, 0, apierrors.NewBadRequest("Invalid value: \"" + rv + "\": " + err.Error())
	}
	rev := int64(n)
	switch {
	case match == metav1.ResourceVersionMatchExact:
		return Exact, rev, nil
	case rev == 0:
		return Any, 0, nil
	case match == "" && limit > 0:
		return Exact, rev, nil
	}
	return NotOlder, rev, nil
}

// ParseWatch returns what the options of a watch say, without selectors:
//
//	sendInitialEvents  resourceVersion  the watch
//	unset              unset, "0"       begins with the present state
//	unset              N                begins after N
//	true               unset            begins with the latest state, and a
//	                                    bookmark at its end
//	true               "0", N           with any state (not older than N), and
//	                                    a bookmark at its end
//	false              unset, "0"       begins now, without what there is
//	false              N                begins after N
//
// The bookmark is only sent where bookmarks are allowed.
func ParseWatch(o metav1.ListOptions) (WatchRequest, error) {
	r := WatchRequest{Bookmarks: o.AllowWatchBookmarks}
	m, rev, err := ParseRevision(o.ResourceVersion, "", 0)
	if err != nil {
		return r, err
	}
	r.From, r.Revision = m, rev
	if o.SendInitialEvents != nil && *o.SendInitialEvents {
		r.InitialEventsEnd = o.AllowWatchBookmarks
		return r, nil
	}
	if m == NotOlder {
		r.From = Exact
	}
	r.SkipInitial = o.SendInitialEvents != nil && r.From != Exact
	return r, nil
}
