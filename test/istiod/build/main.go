// Command build builds the istiod that test/istiod starts into the user's cache, and prints where it is. With -missing
// it builds nothing, and names what it would build.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"github.com/lateen-io/lateen/test/istiod"
)

func main() {
	onlyMissing := flag.Bool("missing", false, "build nothing, and name what is missing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	line, err := run(ctx, *onlyMissing)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	if line != "" {
		fmt.Println(line)
	}
}

func run(ctx context.Context, onlyMissing bool) (string, error) {
	if !onlyMissing {
		return istiod.Program(ctx, os.Stderr)
	}
	missing, err := istiod.Missing()
	if missing {
		return "istiod", err
	}
	return "", err
}
