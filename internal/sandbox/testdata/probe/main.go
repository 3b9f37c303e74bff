// Command probe prints what sandbox.Probe reports.
package main

import (
	"context"
	"fmt"
	"os"

	"headwater/internal/sandbox"
)

func main() {
	sandbox.RunInit()
	r, err := sandbox.Probe(context.Background(), os.Args[1])
	fmt.Printf("kernel %t, sandbox %v, nested %v, error %v\n", r.Kernel != "", r.Sandbox, r.Nested, err)
}
