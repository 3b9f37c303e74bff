// Command hello prints what it was made of.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"hello.example/hello/internal/client"
	"hello.example/hello/internal/greet"
)

var version = "unknown"

func main() {
	if err := client.Check("hello.example/hello"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	info, _ := debug.ReadBuildInfo()
	fmt.Println(greet.Greeting(client.Name), version, info.GoVersion, info.Deps[0].Path)
}
