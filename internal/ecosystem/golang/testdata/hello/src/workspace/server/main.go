// Command server uses another module of the workspace.
package main

import (
	"fmt"

	"workspace.example/lib/name"
)

func main() { fmt.Println("workspace", name.Major()) }
