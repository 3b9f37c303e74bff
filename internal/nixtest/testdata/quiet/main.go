// Program quiet is a builder that closes its output before it has made its result.
package main

import (
	"errors"
	"fmt"
	"os"
	"time"
)

func main() {
	if err := errors.Join(os.Stdin.Close(), os.Stdout.Close(), os.Stderr.Close()); err != nil {
		os.Exit(2)
	}
	time.Sleep(2 * time.Second)
	if err := os.WriteFile(os.Getenv("out"), fmt.Appendln(nil, "made"), 0o644); err != nil {
		os.Exit(3)
	}
}
