// Etcd is the etcd server, as its own module builds it, for the image of that
// name.
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
