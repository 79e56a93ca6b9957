// Package fairness shares the server out among those who ask: API priority and
// fairness, as the flow schemas and priority levels of
// flowcontrol.apiserver.k8s.io say.
//
//	request ─▶ match: the first schema that fits ─▶ its level, its flow
//	        ─▶ level: seats are free → go on; else wait in a queue of the flow
//	        ─▶ the handler ─▶ leave: whoever is next gets the seats
//
// A level has a number of seats. A request takes one, a list or the beginning of
// a watch as many as it costs (width.go). What the levels have together is what
// the server works on at once (shares.go); every few seconds, while there is
// work, levels that have less to do lend seats to those that have more.
//
// Where seats are free nothing is queued, and a request costs a lock and a few
// comparisons. Where none are, requests wait in bounded queues (queues.go): each
// flow is dealt a few of the level's queues and takes the shortest, so that a
// flow that sends much fills its own queues and leaves others theirs. Queues are
// served by start-time fair queuing: what a queue has used, in seats and
// seconds, puts it back behind those that have used less. Nobody is overtaken
// for ever by those who need fewer seats.
//
// Deciding is apart from waiting: match.go, shares.go, demand.go and queues.go
// are pure, level.go holds the lock and the waiting, config.go follows the
// stored objects and keeps those that every cluster has.
//
// Unlike upstream, a write does not keep seats for the watchers that its event
// will go to: an event is encoded once, however many watch.
package fairness
