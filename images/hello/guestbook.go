package main

import (
	"bufio"
	"context"
	"fmt"
	"html"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"
)

const (
	// entries is the key of the list in the store, and visits that of the counter.
	entries, visits = "guestbook", "guestbook:visits"
	// shown is how many entries a page has, and maxEntry how long one may be.
	shown, maxEntry = 50, 500
	// storeTimeout is how long the store may take.
	storeTimeout = 3 * time.Second
)

// ask sends commands to the store at address, and returns a reply to each.
func ask(ctx context.Context, address string, commands ...string) ([][]string, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(storeTimeout)); err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, strings.Join(commands, "")); err != nil {
		return nil, err
	}
	var out [][]string
	r := bufio.NewReader(c)
	for range commands {
		reply, err := readReply(r)
		if err != nil {
			return nil, err
		}
		out = append(out, reply)
	}
	return out, nil
}

// newGuestbook is the front of the two-tier example: a page with what visitors
// wrote, which it keeps in the store at address.
func newGuestbook(host, address string, logf func(string, ...any)) http.Handler {
	failed := func(w http.ResponseWriter, err error) {
		logf("the store at %s does not answer: %v", address, err)
		http.Error(w, "The store does not answer.", http.StatusServiceUnavailable)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		if _, err := ask(r.Context(), address, command("PING")); err != nil {
			failed(w, err)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		replies, err := ask(r.Context(), address, command("INCR", visits), command("LRANGE", entries, "0", fmt.Sprint(shown-1)))
		if err != nil {
			failed(w, err)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		page(w, host, replies[0], replies[1])
	})
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 16<<10)
		text := strings.TrimSpace(r.PostFormValue("entry"))
		if text == "" || len(text) > maxEntry {
			http.Error(w, fmt.Sprintf("An entry has 1 to %d bytes.", maxEntry), http.StatusBadRequest)
			return
		}
		if _, err := ask(r.Context(), address, command("LPUSH", entries, text)); err != nil {
			failed(w, err)
			return
		}
		http.Redirect(w, r, "/", http.StatusSeeOther)
	})
	return mux
}

// page writes HTML. Whatever a visitor wrote is text.
func page(w io.Writer, host string, count, list []string) {
	fmt.Fprint(w, `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Guest book</title>
<style>body{font:1rem/1.5 system-ui;max-width:36rem;margin:3rem auto;padding:0 1rem}li{border-bottom:1px solid #ddd;padding:.4rem 0}
ul{list-style:none;padding:0}input{font:inherit;padding:.3rem;width:70%}button{font:inherit;padding:.3rem 1rem}small{color:#666}</style>
<h1>Guest book</h1>
<form method="post" action="/"><input name="entry" maxlength="500" placeholder="Write something" required autofocus> <button>Sign</button></form>
<ul>
`)
	for _, e := range list {
		fmt.Fprintf(w, "<li>%s</li>\n", html.EscapeString(e))
	}
	fmt.Fprintf(w, "</ul>\n<small>Page %s, from pod %s.</small>\n", html.EscapeString(strings.Join(count, "")), html.EscapeString(host))
}

// runGuestbook serves the front until ctx ends.
func runGuestbook(ctx context.Context, host string) error {
	address := envOr("STORE", "store:"+storePort)
	return serveHTTP(ctx, "guest book with the store at "+address, newGuestbook(host, address, log.Printf), func() {})
}
