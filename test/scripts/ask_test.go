package scripts

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	restclient "k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ask is the command of that name in scripts: it sends one request, with the
// identity of the kubeconfig, and prints the code, the warnings and the body of
// the response. It fails where the code does.
//
//	ask [-accept TYPE] [-type TYPE] METHOD PATH [FILE | BODY]
func ask() {
	if err := sendAsked(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func sendAsked() error {
	accept := flag.String("accept", "application/json", "media `type` to be answered in")
	contentType := flag.String("type", "application/json", "media `type` of the body")
	flag.Parse()
	if flag.NArg() < 2 || flag.NArg() > 3 {
		return fmt.Errorf("usage: ask [-accept TYPE] [-type TYPE] METHOD PATH [FILE | BODY]")
	}
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		return err
	}
	client, err := restclient.HTTPClientFor(config)
	if err != nil {
		return err
	}
	body := flag.Arg(2)
	if b, err := os.ReadFile(body); err == nil {
		body = string(b)
	}
	r, err := http.NewRequest(flag.Arg(0), config.Host+flag.Arg(1), strings.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Accept", *accept)
	if body != "" {
		r.Header.Set("Content-Type", *contentType)
	}
	res, err := client.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	fmt.Println(res.StatusCode)
	for _, w := range res.Header.Values("Warning") {
		fmt.Println("Warning:", w)
	}
	if _, err := io.Copy(os.Stdout, res.Body); err != nil {
		return err
	}
	if res.StatusCode >= 400 {
		return fmt.Errorf("%s", res.Status)
	}
	return nil
}
