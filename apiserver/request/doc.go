// Package request says what an HTTP request asks of the API: [Parse] turns a
// method, a path and a query into an [Info] without touching anything else.
// It knows the shape of API paths, not which resources exist.
package request
