// Command build builds etcd and kube-apiserver into the user's cache, so that no test has to, and prints the directory.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"github.com/lateen-io/lateen/test/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	dir, err := cluster.Programs(ctx, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(dir)
}
