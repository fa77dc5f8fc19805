// Command build builds the engines that test/engines starts into the user's cache, and prints where they are. With
// -missing it builds nothing, and names what it would build.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"

	"github.com/lateen-io/lateen/test/engines"
)

func main() {
	onlyMissing := flag.Bool("missing", false, "build nothing, and name what is missing, one per line")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	lines, err := run(ctx, *onlyMissing)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, line := range lines {
		fmt.Println(line)
	}
}

func run(ctx context.Context, onlyMissing bool) ([]string, error) {
	if onlyMissing {
		return engines.Missing()
	}
	files, err := engines.Programs(ctx, os.Stderr)
	return slices.Sorted(maps.Values(files)), err
}
