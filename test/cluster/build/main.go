// Command build builds the programs of the test control plane into the user's cache, so that no test has to, and prints
// where they are.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"

	"github.com/lateen-io/lateen/test/cluster"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	files, err := cluster.Programs(ctx, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Println(files[name])
	}
}
