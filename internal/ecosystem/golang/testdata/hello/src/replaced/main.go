// Command replaced uses a module that is not there before the build.
package main

import (
	"fmt"

	"generated.example/client"
)

func main() { fmt.Println("replaced", client.Major()) }
